"""The paths that need a person's word, in all their disguises."""

import unicodedata

import pytest

from autohands.core.protected import is_protected

PROTECTED = [
    ".git/config",
    ".git/hooks/pre-commit",
    ".git",
    "vendor/lib/.git/config",
    ".autohands/config.toml",
    ".mcp.json",
    "sub/.mcp.json",
    ".vscode/settings.json",
    ".idea/workspace.xml",
    ".bashrc",
    "home/.zshrc",
    ".profile",
    ".env",
    ".env.production",
    "service/.env",
    "sitecustomize.py",
    "lib/python3.12/site-packages/x.pth",
    "conftest.py",
    "./conftest.py",
    ".git//hooks/./x",
]
DISGUISED = [
    ".AutoHands/CONFIG.toml",
    ".GIT/hooks/x",
    "CONFTEST.PY",
    ".Env",
    ".g\u200cit/config",
    r".g\u200cit/config",
    ".git./config",
    ".git /config",
    r".git\x20/config",
    "GIT~1/config",
    "\uff0egit/config",
    ".b\u00e0shrc".replace("\u00e0", "a"),
    unicodedata.normalize("NFD", ".vscode/é"),
    ".vſcode/settings.json",
]
PLAIN = [
    "src/main.py",
    "git/config",
    ".gitignore",
    ".gitattributes",
    "tests/conftest.py",
    ".env.example",
    "env",
    ".environment",
    "mcp.json",
    "notes.git",
    "bashrc",
    "x.pthx",
    ".github/workflows/check.yml",
    ".",
    "",
]


@pytest.mark.parametrize("path", PROTECTED)
def test_fs12_what_decides_over_execution_or_authority_is_protected(path: str) -> None:
    assert is_protected(path)


@pytest.mark.parametrize("path", DISGUISED)
def test_fs11_no_disguise_helps(path: str) -> None:
    assert is_protected(path)


@pytest.mark.parametrize("path", PLAIN)
def test_fs12_everything_else_is_not(path: str) -> None:
    assert not is_protected(path)


def test_fs12_an_absolute_path_is_seen_from_the_root() -> None:
    assert is_protected("/w/app/.git/config")
    assert is_protected("/w/app/conftest.py", root="/w/app")
    assert not is_protected("/w/app/tests/conftest.py", root="/w/app/")
    assert not is_protected("/w/app-x/conftest.py", root="/w/app")
