"""Which paths decide what will be executed or who may do what: touching them asks a person, in every mode."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from functools import lru_cache

from autohands.core.names import read_shown, split

DIRECTORIES = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".autohands",
        ".vscode",
        ".idea",
        ".ssh",
        ".gnupg",
        ".husky",
        ".claude",
        ".cursor",
        ".codex",
    }
)
FILES = (
    *(".mcp.json", ".env", ".env.*", ".envrc", "sitecustomize.py", "usercustomize.py", "*.pth"),
    *(".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".inputrc"),
    *(".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".logout"),
    *("config.fish", ".xprofile", ".xinitrc", ".xsession", ".xsessionrc", ".pam_environment"),
    *(".gitconfig", ".gitmodules", ".npmrc", ".yarnrc.yml", ".pypirc", ".netrc", ".pdbrc"),
)
AT_THE_ROOT = frozenset({"conftest.py"})
EXAMPLES = frozenset({".env.example", ".env.sample", ".env.template"})
_ANY_FILE = re.compile("|".join(fnmatch.translate(pattern) for pattern in FILES))


@lru_cache(maxsize=4096)
def is_protected(path: str, root: str = "") -> bool:
    """Whether a write to `path` needs a person's word, whether or not it exists yet.

    `path` is as a tool got it: relative to the workspace, or absolute and beneath `root`. Compared without regard to
    case, Unicode form, invisible characters and trailing dots and spaces, as some file systems do.
    """
    parts, above = split(path), split(root)
    if path.startswith("/") and parts[: len(above)] == above:
        parts = parts[len(above) :]
    readings = [[_plain(part) for part in parts], [_plain(read_shown(part) or part) for part in parts]]
    return any(_decides(reading) for reading in readings if reading)


def _decides(parts: list[str]) -> bool:
    *_, name = parts
    if DIRECTORIES.intersection(parts) or (len(parts) == 1 and name in AT_THE_ROOT):
        return True
    return name not in EXAMPLES and _ANY_FILE.match(name) is not None


def _plain(part: str) -> str:
    visible = "".join(character for character in part if unicodedata.category(character) != "Cf")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    plain = folded.rstrip(". ")
    return ".git" if plain == "git~1" else plain
