"""Where paths lead: never out of the workspace, whatever they are made of. And how names are shown."""

import os
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohands.core import names
from autohands.core.workspace import LocalWorkspace
from autohands.protocols.errors import ToolError
from core.disk import WAYS, opened, unguarded

SECRET = b"root:x:0:0"


@pytest.fixture(params=WAYS)
async def files(request: pytest.FixtureRequest, workspace: Path) -> AsyncIterator[LocalWorkspace]:
    async with opened(workspace, request.param) as files:
        yield files


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the workspace, with a secret in it."""
    directory = tmp_path / "workspace-secrets"
    directory.mkdir()
    (directory / "k").write_bytes(SECRET)
    return directory


def names_in(directory: Path) -> list[bytes]:
    """The names in a directory, byte by byte."""
    return [os.fsencode(path.name) for path in directory.iterdir()]


async def refused(files: LocalWorkspace, path: str) -> str:
    """The word with which reading, listing and writing are all refused."""
    with pytest.raises(ToolError) as read:
        await files.read_bytes(path, 100)
    with pytest.raises(ToolError) as listed:
        await files.list(path)
    with pytest.raises(ToolError) as written:
        await files.write_atomic(path, b"mine")
    words = {error.value.text.partition(":")[0] for error in (read, listed, written)}
    assert len(words) == 1
    return words.pop()


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "/etc/passwd", "{ws}/../x", "{ws}/./../x", "{ws}//..//x", "..", "a/../../x", "~", "~/.ssh/id"],
)
async def test_fs01_a_path_that_leads_out_is_refused(files: LocalWorkspace, path: str) -> None:
    assert await refused(files, path.format(ws=files.root)) == "path_outside_workspace"


async def test_fs01_a_dotdot_that_would_stay_inside_is_refused_too(files: LocalWorkspace) -> None:
    assert await refused(files, "workspace/../x") == "path_outside_workspace"


async def test_fs02_a_twin_by_prefix_is_outside(files: LocalWorkspace, outside: Path) -> None:
    assert str(outside).startswith(files.root), "what a comparison of prefixes would let pass"
    assert await refused(files, f"{outside}/k") == "path_outside_workspace"


async def test_fs02_an_absolute_path_inside_is_accepted(files: LocalWorkspace) -> None:
    await files.write_atomic("a", b"1")
    assert (await files.read_bytes(f"{files.root}//./a", 9)).data == b"1"
    assert files.relative(f"{files.root}/a/./b/") == "a/b"
    assert files.relative("") == files.relative(files.root) == "."


async def test_a_root_reached_through_a_symlink_is_known_by_both_names(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(workspace)
    async with opened(tmp_path / "alias") as files:
        assert files.root == str(tmp_path / "alias")
        assert files.relative(str(tmp_path / "alias" / "x")) == files.relative(str(workspace / "x")) == "x"


LINKS = {
    "to a file": ("link", "{out}/k", "link"),
    "relative": ("link", "../workspace-secrets/k", "link"),
    "in two steps": ("link", "second", "link"),
    "to a parent": ("link", "{out}", "link/k"),
    "to /proc/self/root": ("link", "/proc/self/root{out}/k", "link"),
    "up and down": ("link", "sub/../../workspace-secrets/k", "link"),
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
async def test_fs03_a_symlink_that_leads_out_is_refused(
    files: LocalWorkspace, workspace: Path, outside: Path, link: tuple[str, str, str]
) -> None:
    name, target, path = (part.format(out=outside) for part in link)
    (workspace / "sub").mkdir()
    (workspace / name).symlink_to(target)
    (workspace / "second").symlink_to(outside / "k")
    with pytest.raises(ToolError, match=r"^(path_outside_workspace|symlink): "):
        await files.read_bytes(path, 100)
    with pytest.raises(ToolError, match=r"^symlink: "):
        await files.write_atomic(path, b"mine")
    assert (outside / "k").read_bytes() == SECRET


@pytest.mark.parametrize("path", ["/proc/self/root/etc/passwd", "/proc/self/fd/0", "/dev/fd/0"])
async def test_fs03_ways_through_proc_are_refused(files: LocalWorkspace, path: str) -> None:
    assert await refused(files, path) == "path_outside_workspace"


async def test_fs03_twin_without_the_guard_the_secret_is_read_and_overwritten(workspace: Path, outside: Path) -> None:
    (workspace / "link").symlink_to(outside / "k")
    (workspace / "parent").symlink_to(outside)
    async with opened(workspace, unguarded) as files:
        assert (await files.read_bytes("link", 100)).data == SECRET
        await files.write_atomic("parent/k", b"mine")
    assert (outside / "k").read_bytes() == b"mine"


async def test_symlinks_that_stay_inside_are_followed_by_reads_only(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "real").mkdir()
    (workspace / "real" / "a").write_text("inside")
    (workspace / "direct").symlink_to("real/a")
    (workspace / "through").symlink_to("sub/../real")
    (workspace / "sub").mkdir()
    assert (await files.read_bytes("direct", 9)).data == b"inside"
    assert (await files.read_bytes("through/a", 9)).data == b"inside"
    assert [entry.path for entry in (await files.list("through")).entries] == ["through/a"]
    for path in ("direct", "through/a", "through/new"):
        with pytest.raises(ToolError, match=r"^symlink: "):
            await files.write_atomic(path, b"mine", parents=True)
    with pytest.raises(ToolError, match=r"^symlink: "):
        await files.remove("through/a")
    assert (workspace / "real" / "a").read_text() == "inside"


async def test_a_circle_of_symlinks_ends(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a").symlink_to("b")
    (workspace / "b").symlink_to("a")
    with pytest.raises(ToolError, match=r"^symlink: "):
        await files.read_bytes("a", 9)


async def test_a_missing_file_comes_with_the_nearest_name(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "src").mkdir()
    (workspace / "src" / "main.py").touch()
    with pytest.raises(ToolError, match=r"^not_found: src/mian\.py: .*did you mean src/main\.py\?"):
        await files.read_bytes("src/mian.py", 9)
    with pytest.raises(ToolError, match=r"^not_found: sorce/main\.py: .*did you mean src\?|sorce does not exist"):
        await files.read_bytes("sorce/main.py", 9)
    with pytest.raises(ToolError, match=r"^not_a_directory: "):
        await files.read_bytes("src/main.py/x", 9)


# FS10: bytes of a name, and how it is shown
NAMES = {
    "newline": (b"a\nb", r"a\x0ab"),
    "carriage return": (b"a\rb", r"a\x0db"),
    "escape": (b"a\x1b[31mb", r"a\x1b[31mb"),
    "right to left": ("a\u202egpj.exe".encode(), r"a\u202egpj.exe"),
    "zero width": ("a\u200bb".encode(), r"a\u200bb"),
    "tag beyond the first plane": ("a\U000e0041".encode(), r"a\U000e0041"),
    "not UTF-8": (b"a\xff\xfeb", r"a\xff\xfeb"),
    "backslash": (rb"a\b", r"a\\b"),
    "written escape": (rb"a\x0ab", r"a\\x0ab"),
    "leading dash": (b"-rf", "-rf"),
    "trailing dot": (b"a.", "a."),
    "trailing space": (b"a ", r"a\x20"),
    "leading space": (b" a", r"\x20a"),
    "no-break space": ("a\u00a0b".encode(), r"a\u00a0b"),
    "decomposed": ("cafe\u0301".encode(), r"cafe\u0301"),
    "umlauts": ("Grüße 日本".encode(), "Grüße 日本"),
    "255 bytes": (b"x" * 255, "x" * 255),
}


@pytest.mark.parametrize(("raw", "shown"), NAMES.values(), ids=NAMES.keys())
async def test_fs10_a_name_is_shown_escaped_and_comes_back_byte_by_byte(
    files: LocalWorkspace, workspace: Path, raw: bytes, shown: str
) -> None:
    path = os.fsencode(workspace) + b"/" + raw
    try:
        Path(os.fsdecode(path)).write_bytes(b"content")
    except OSError:
        pytest.skip("this file system does not take such a name")
    [entry] = (await files.list(".")).entries
    if os.fsencode(entry.path) != raw:
        pytest.skip("this file system keeps another form of the name")
    assert files.shown(entry.path) == shown
    assert shown.isprintable()
    assert shown.encode()
    assert (await files.read_bytes(shown, 9)).data == b"content"
    await files.write_atomic(shown, b"new")
    assert names_in(workspace) == [raw]
    assert files.relative(shown) == shown
    await files.move(shown, "plain")
    assert names_in(workspace) == [b"plain"]


async def test_fs10_a_shown_form_that_is_also_a_name_is_ambiguous(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a\nb").write_text("newline")
    (workspace / "a\\x0ab").write_text("backslash")
    with pytest.raises(ToolError, match=r"^ambiguous_name: "):
        await files.remove(r"a\x0ab")
    assert (await files.read_bytes(r"a\\x0ab", 99)).data == b"backslash"
    assert (await files.read_bytes("a\nb", 99)).data == b"newline"


async def test_fs10_an_escape_of_a_plain_character_is_no_name(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "A").touch()
    assert await files.stat(r"\x41") is None
    await files.write_atomic(r"\x41", b"")
    assert sorted(names_in(workspace)) == [b"A", rb"\x41"]


async def test_fs11_twins_in_normal_form_are_told_apart(files: LocalWorkspace, workspace: Path) -> None:
    composed, decomposed = "café", unicodedata.normalize("NFD", "café")
    (workspace / composed).write_text("C")
    if (workspace / decomposed).exists():
        pytest.skip("this file system knows one form only")
    with pytest.raises(ToolError, match="did you mean café"):
        await files.read_bytes(decomposed, 9)
    (workspace / decomposed).write_text("D")
    assert {files.shown(entry.path) for entry in (await files.list(".")).entries} == {"café", r"cafe\u0301"}
    assert (await files.read_bytes(r"cafe\u0301", 9)).data == b"D"
    assert (await files.read_bytes("café", 9)).data == b"C"


@given(
    st.binary(min_size=1, max_size=30).filter(lambda name: not {0, ord("/")} & set(name) and name not in (b".", b".."))
)
def test_fs10_every_name_is_read_back_from_its_shown_form(raw: bytes) -> None:
    name = os.fsdecode(raw)
    shown = names.show(name)
    assert shown.isprintable()
    assert (names.read_shown(shown) or shown) == name
    assert names.show_argument(shown) == shown


@pytest.mark.parametrize("path", ["a\0b", "x/\0"])
async def test_a_nul_in_a_path_is_refused(files: LocalWorkspace, path: str) -> None:
    assert await refused(files, path) == "invalid_path"


async def test_a_name_that_is_too_long_is_refused(files: LocalWorkspace) -> None:
    assert await refused(files, "x" * 256) == "invalid_path"
