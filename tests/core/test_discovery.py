"""Extensions are found by entry point and by folder, and each that cannot start is named with the reason."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autohands.core.discovery import Found, disable, discover, enable
from autohands.core.trust import read_lock
from autohands.protocols.errors import ConfigError, NotFound

HELLO = """\
from autohands.sdk import Extension, tool
from .words import GREETING

@tool(effect="read")
async def hello(name: str) -> str:
    \"\"\"Greet.\"\"\"
    return f"{GREETING}, {name}"

extension = Extension(name="hello", version="1.0", summary="Greets.", tools=(hello,))
"""
MANIFEST = 'name = "hello"\nversion = "1.0"\nentry = "hello:extension"\n'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the import path in which distributions can be installed."""
    path = tmp_path / "site"
    path.mkdir()
    monkeypatch.syspath_prepend(str(path))
    return path


@pytest.fixture
def folder(home: Path) -> Path:
    """A folder extension that is in order and not enabled."""
    path = home / "extensions" / "hello"
    path.mkdir(parents=True)
    (path / "extension.toml").write_text(MANIFEST)
    (path / "hello.py").write_text(HELLO)
    (path / "words.py").write_text('GREETING = "Hello"\n')
    for each in (home / "extensions", path, *path.iterdir()):
        each.chmod(each.stat().st_mode & ~0o022)
    return path


def install(site: Path, name: str, code: str, *, entry: str = "", metadata: str = "") -> None:
    """Install a distribution with one module and one entry point."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(code)
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}\n")
    (info / "entry_points.txt").write_text(f"[autohands.extensions]\n{entry or f'{name} = {module}:extension'}\n")


def one(home: Path, name: str) -> Found:
    return next(found for found in discover(home) if found.name == name)


def extension(name: str, more: str = "") -> str:
    return (
        f"from autohands.sdk import Extension\nextension = Extension(name={name!r}, version='1.0', summary='.'{more})"
    )


def test_an_installed_distribution_is_found(home: Path, site: Path) -> None:
    install(site, "x-good", extension("x-good", ", permissions=('network',)"))
    found = one(home, "x-good")
    assert (found.status, found.reason, found.origin) == ("ready", "", "entry point x_good:extension")
    assert found.manifest is not None
    assert found.manifest.permissions == ("network",)
    assert found.extension is not None


def test_ours_come_first_then_the_others_by_name(home: Path, site: Path) -> None:
    install(site, "aaa", extension("aaa"))
    names = [found.name for found in discover(home)]
    ours = [found.name for found in discover(home) if "autohands.extensions." in found.origin]
    assert names == [*sorted(ours), "aaa"]
    assert "agent-general" in ours


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = 1\nraise ValueError('not today')", "ValueError: not today ({site}/x_bad.py, line 2)"),
        ("def f(:\n", "SyntaxError: invalid syntax (x_bad.py, line 1)"),
        ("import sys\nsys.exit(1)", "SystemExit: 1 ({site}/x_bad.py, line 2)"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package' ({site}/x_bad.py, line 1)"),
        ("y = 1", "AttributeError: module 'x_bad' has no attribute 'extension'"),
        ("extension = 3", "it names int, which is no Extension"),
        (extension("x-other"), "it is registered as 'x-bad' and calls itself 'x-other'"),
        (extension("x-bad").replace("1.0", "newest"), "version: 'newest' is not a version"),
        (extension("x-bad", ", requires=('Y > x',)"), "requires: 'Y > x' is not a requirement"),
        (extension("x-bad", ", permissions=('root',)"), "permissions: 'root' is none of network, process, files"),
        (extension("x-bad", ", requires='tools-web'"), "requires must be a list of texts, not str"),
        (extension("x-bad").replace("'.'", "'x' * (1 << 20)"), "summary is 1,048,576 characters long; at most 500"),
        (extension("x-bad").replace("'.'", "None"), "summary must be text, not nothing"),
        (extension("x-bad").replace("'x-bad'", "'x-bаd'"), "U+0430 CYRILLIC SMALL LETTER A"),
    ],
)
def test_ex04_a_broken_one_is_named_with_its_place_and_stops_no_other(
    home: Path, site: Path, code: str, reason: str
) -> None:
    sys.modules.pop("x_bad", None)
    install(site, "x-bad", code)
    install(site, "x-good", extension("x-good"))
    found = one(home, "x-bad")
    assert (found.status, found.extension) == ("broken", None)
    assert reason.replace("{site}", str(site)) in found.reason
    assert one(home, "x-good").status == "ready"


@pytest.mark.parametrize("name", ["Tools", "tools_web", "-x", "x" * 65, "tооls"])
def test_ex04_names_that_are_none(home: Path, site: Path, name: str) -> None:
    install(site, "x-named", extension(name), entry=f"{name} = x_named:extension")
    sys.modules.pop("x_named", None)
    assert (one(home, name).status, "name" in one(home, name).reason) == ("broken", True)


def test_the_first_of_a_name_stands_and_the_second_is_named(home: Path, site: Path) -> None:
    install(site, "x-first", extension("tools-shell"), entry="tools-shell = x_first:extension")
    found = [each for each in discover(home) if each.name == "tools-shell"]
    assert "autohands.extensions.tools_shell" in found[0].origin
    assert [each.status for each in found[1:]] == ["broken"]
    assert "belongs to entry point autohands.extensions.tools_shell:extension" in found[1].reason


def test_missing_packages_are_answered_with_the_extra(home: Path, site: Path) -> None:
    metadata = (
        'Provides-Extra: x-heavy\nRequires-Dist: msgspec\nRequires-Dist: no-such-package>=1; extra == "x-heavy"\n'
    )
    install(site, "x-heavy", extension("x-heavy", ", extra='x-heavy'"), metadata=metadata)
    install(site, "x-hasty", "import no_such_package", metadata="Provides-Extra: x-hasty\n")
    found, hasty = one(home, "x-heavy"), one(home, "x-hasty")
    assert (found.status, found.extension) == ("missing-extra", None)
    assert found.reason == "needs no-such-package: pip install 'x-heavy[x-heavy]'"
    assert (hasty.status, hasty.reason) == ("missing-extra", "needs no_such_package: pip install 'x-hasty[x-hasty]'")


def test_an_installed_one_can_be_disabled_and_enabled(home: Path, site: Path) -> None:
    install(site, "x-loud", "raise SystemExit('it was loaded')")
    disable(home, "x-loud")
    found = one(home, "x-loud")
    assert (found.status, found.reason) == ("disabled", "`autohands extension enable x-loud`")
    assert enable(home, "x-loud").status == "broken"
    assert read_lock(home).disabled == ()


def test_ex01_a_folder_is_inactive_until_it_is_enabled(home: Path, folder: Path) -> None:
    (folder / "hello.py").write_text("raise SystemExit('its code ran')")
    found = one(home, "hello")
    assert (found.status, found.extension, found.origin) == ("untrusted", None, str(folder))
    assert found.reason == "not enabled yet; `autohands extension enable hello`"
    assert found.manifest is not None
    (folder / "hello.py").write_text(HELLO)
    assert enable(home, "hello").status == "ready"
    assert one(home, "hello").status == "ready"
    assert (home / "autohands.lock").stat().st_mode & 0o777 == 0o600


async def test_an_enabled_folder_runs_its_code(home: Path, folder: Path) -> None:
    extension = enable(home, "hello").extension
    assert extension is not None
    from autohands.core.kernel import Kernel
    from autohands.core.registry import Registries
    from core.parts import shared

    async with Kernel(Registries(), shared(home / "state")) as kernel:
        await kernel.load(extension)
        tool = kernel.registries.tools.get("hello")
        context: object = None
        assert (await tool.run(context, {"name": "you"})).text == "Hello, you"  # type: ignore[arg-type]
    assert sorted(path.name for path in folder.iterdir()) == ["extension.toml", "hello.py", "words.py"]


def add_bytecode(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "words.cpython-311.pyc").touch()


async def test_ex02_what_runs_is_what_was_checked_though_the_disk_has_changed_since(home: Path, folder: Path) -> None:
    words = folder / "words.py"
    trick = f"import pathlib\npathlib.Path({str(words)!r}).write_text('GREETING = \"Evil\"')\n"
    (folder / "hello.py").write_text(trick + HELLO)
    found = enable(home, "hello")
    assert found.extension is not None
    tool = found.extension.tools[0]  # type: ignore[attr-defined]
    assert words.read_text() == 'GREETING = "Evil"'
    assert (await tool.run(None, {"name": "you"})).text == "Hello, you"


CHANGES: dict[str, Callable[[Path], object]] = {
    "a byte": lambda folder: (folder / "words.py").write_text('GREETING = "hello"\n'),
    "a file more": lambda folder: (folder / "more.py").write_text(""),
    "a file less": lambda folder: (folder / "words.py").unlink(),
    "a renamed file": lambda folder: (folder / "words.py").rename(folder / "word.py"),
    "bytecode": add_bytecode,
    "a link inside": lambda folder: (folder / "link").symlink_to("words.py"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_ex02_a_changed_tree_is_inactive_again(home: Path, folder: Path, change: str) -> None:
    enable(home, "hello")
    assert one(home, "hello").status == "ready"
    CHANGES[change](folder)
    found = one(home, "hello")
    assert (found.status, found.extension) == ("untrusted", None)
    assert found.reason.startswith("digest_mismatch")
    disable(home, "hello")
    assert one(home, "hello").status == "disabled"


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link out": (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "is a symlink out of"),
    "a writable directory": (lambda folder: folder.chmod(0o777), "may be written by everybody"),
    "a writable file": (lambda folder: (folder / "words.py").chmod(0o666), "may be written by everybody"),
    "a pipe": (lambda folder: os.mkfifo(folder / "pipe"), "is neither a file nor a directory"),
    "too much": (lambda folder: os.truncate(folder / "words.py", 51 << 20), "holds more than 50 MiB"),
}


@pytest.mark.parametrize("flaw", UNFIT)
def test_ex02_an_unfit_tree_is_refused_enabled_or_not(home: Path, folder: Path, flaw: str) -> None:
    spoil, reason = UNFIT[flaw]
    enable(home, "hello")
    spoil(folder)
    found = one(home, "hello")
    assert (found.status, found.extension) == ("broken", None)
    assert reason in found.reason
    with pytest.raises(ConfigError, match=reason):
        enable(home, "hello")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_ex02_a_file_of_another_is_refused(home: Path, folder: Path) -> None:
    os.chown(folder / "words.py", 12_345, -1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        enable(home, "hello")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "name is missing\n{path}: version is missing\n{path}: entry is missing"),
        (MANIFEST + "reqires = []\n", "unknown key 'reqires'; did you mean requires?"),
        (MANIFEST + "api = 2\n", "api is 2; this program knows 1"),
        (MANIFEST + "summary = 3\nrequires = 'x'\n", "summary must be text, not int\n{path}: requires must be a list"),
        (MANIFEST.replace("hello:extension", "../evil"), "entry '../evil' is not module:attribute"),
        (MANIFEST.replace('"1.0"', "1.0"), "version must be text, not float"),
        (MANIFEST.replace('"hello"', '"hallo"'), "name 'hallo' is not the folder's name 'hello'"),
        (MANIFEST.replace("hello", "hеllo", 1), "U+0435 CYRILLIC SMALL LETTER IE"),
        (MANIFEST + f'summary = "{"x" * (1 << 20)}"', "larger than 64 KiB"),
        (MANIFEST + f'summary = "{"x" * 600}"', "summary is 600 characters long; at most 500"),
        ("name = \n", "Invalid value (at line 1, column 8)"),
        ("\xff", "extension.toml"),
    ],
)
def test_ex04_a_folders_manifest_is_checked_before_its_code_runs(
    home: Path, folder: Path, text: str, reason: str
) -> None:
    (folder / "hello.py").write_text("raise SystemExit('its code ran')")
    (folder / "extension.toml").write_text(text, encoding="latin-1" if text == "\xff" else "utf-8")
    found = one(home, "hello")
    assert (found.status, found.extension) == ("broken", None)
    assert reason.replace("{path}", str(folder / "extension.toml")) in found.reason
    with pytest.raises(ConfigError):
        enable(home, "hello")


def test_a_folder_without_a_manifest_is_named(home: Path, folder: Path) -> None:
    (folder / "extension.toml").unlink()
    assert "extension.toml: missing" in one(home, "hello").reason


@pytest.mark.parametrize(
    ("before", "after"), [('version="1.0"', 'version="1.1"'), ("summary", "permissions=('process',), summary")]
)
def test_code_that_is_not_what_its_manifest_says_is_refused(home: Path, folder: Path, before: str, after: str) -> None:
    (folder / "hello.py").write_text(HELLO.replace(before, after))
    found = enable(home, "hello")
    assert (found.status, found.extension) == ("broken", None)
    assert found.reason.startswith("extension.toml declares hello 1.0 (no permissions), its code hello ")


def test_broken_code_in_a_folder_is_named_with_its_line(home: Path, folder: Path) -> None:
    (folder / "words.py").write_text("\n\nGREETING = nothing\n")
    assert enable(home, "hello").reason == (f"NameError: name 'nothing' is not defined ({folder / 'words.py'}, line 3)")


def test_a_damaged_lock_is_an_error_with_the_remedy(home: Path, folder: Path) -> None:
    for damage in (b"", b"{", b"\xff\x00", b'{"v": 2}', b'{"trusted": 3}', b'{"unknown": 1}'):
        (home / "autohands.lock").write_bytes(damage)
        with pytest.raises(ConfigError, match=r"autohands\.lock"):
            discover(home)


def test_who_does_not_exist_cannot_be_enabled_or_disabled(home: Path) -> None:
    for change in (enable, disable):
        with pytest.raises(NotFound, match="no extension named 'nobody'"):
            change(home, "nobody")
    with pytest.raises(NotFound):
        enable(home, "../../etc")


def test_looking_for_extensions_loads_no_heavy_module(home: Path) -> None:
    code = "import sys, pathlib\nfrom autohands.core.discovery import discover\n"
    code += f"discover(pathlib.Path({str(home)!r}))\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert set(done.stdout.split()) & {"tomlkit", "yaml", "aiohttp", "jsonschema", "rich"} == set()
