"""Changing files: all or nothing, never through a symlink, never the root."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands.core.changes import Changes
from autohands.core.tree import Tree
from autohands.core.workspace import LocalWorkspace
from autohands.protocols.errors import ToolError
from core.disk import LINUX, WAYS, opened, small_disk


@pytest.fixture(params=WAYS)
async def files(request: pytest.FixtureRequest, workspace: Path) -> AsyncIterator[LocalWorkspace]:
    async with opened(workspace, request.param) as files:
        yield files


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_a_write_says_what_it_replaced(files: LocalWorkspace, workspace: Path) -> None:
    first = await files.write_atomic("a", b"one")
    assert (first.sha256, first.replaced) == (sha256(b"one"), None)
    second = await files.write_atomic("a", b"")
    assert second.replaced is not None
    assert second.replaced.size == 3
    assert (workspace / "a").read_bytes() == b""
    assert [path.name for path in workspace.iterdir()] == ["a"]


async def test_parents_are_made_only_if_asked_for(files: LocalWorkspace, workspace: Path) -> None:
    with pytest.raises(ToolError, match=r"^not_found: a/b/c: .*\(a does not exist\)"):
        await files.write_atomic("a/b/c", b"1")
    await files.write_atomic("a/b/c", b"1", parents=True)
    assert (workspace / "a" / "b" / "c").read_bytes() == b"1"


async def test_fs05_a_file_with_a_second_name_is_refused(
    files: LocalWorkspace, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_text("theirs")
    (workspace / "link").hardlink_to(tmp_path / "outside")
    with pytest.raises(ToolError, match=r"^hard_link: "):
        await files.write_atomic("link", b"mine")
    assert (tmp_path / "outside").read_text() == (workspace / "link").read_text() == "theirs"
    await files.remove("link")
    await files.write_atomic("link", b"mine")


async def test_fs05_even_allowed_it_does_not_write_through_the_link(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("theirs")
    (workspace / "link").hardlink_to(tmp_path / "outside")
    async with opened(workspace, allow_hard_links=True) as files:
        await files.write_atomic("link", b"mine")
    assert ((tmp_path / "outside").read_text(), (workspace / "link").read_text()) == ("theirs", "mine")


async def test_fs15_a_stale_hash_is_a_conflict_and_nothing_is_written(files: LocalWorkspace, workspace: Path) -> None:
    await files.write_atomic("a", b"one")
    (workspace / "a").write_bytes(b"theirs")
    with pytest.raises(ToolError, match=r"^conflict: "):
        await files.write_atomic("a", b"two", expected_sha256=sha256(b"one"))
    assert (workspace / "a").read_bytes() == b"theirs"
    assert [path.name for path in workspace.iterdir()] == ["a"]
    await files.write_atomic("a", b"two", expected_sha256=sha256(b"theirs"))
    (workspace / "a").unlink()
    with pytest.raises(ToolError, match=r"^conflict: "):
        await files.write_atomic("a", b"three", expected_sha256=sha256(b"two"))


async def test_fs15_of_two_writers_with_the_same_hash_one_wins(files: LocalWorkspace, workspace: Path) -> None:
    async def write(data: bytes, base: str) -> bool:
        try:
            await files.write_atomic("a", data, expected_sha256=base)
        except ToolError:
            return False
        return True

    base = (await files.write_atomic("a", b"0")).sha256
    for round_number in range(20):
        won = await asyncio.gather(*(write(b"%d %d" % (round_number, writer), base) for writer in range(4)))
        assert sum(won) == 1
        base = sha256((workspace / "a").read_bytes())


async def test_fs20_modes_are_kept_and_never_open_to_others(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "secret").touch(mode=0o600)
    (workspace / "script").touch()
    (workspace / "script").chmod(0o750)
    before = os.umask(0)
    try:
        await files.write_atomic("secret", b"1")
        await files.write_atomic("script", b"1")
        await files.write_atomic("new", b"1", parents=True)
        await files.write_atomic("d/e/chosen", b"1", mode=0o600, parents=True)
    finally:
        os.umask(before)
    modes = {
        name: (workspace / name).stat().st_mode & 0o7777 for name in ("secret", "script", "new", "d", "d/e/chosen")
    }
    assert modes == {"secret": 0o600, "script": 0o750, "new": 0o644, "d": 0o755, "d/e/chosen": 0o600}


async def test_the_umask_may_take_more_away(files: LocalWorkspace, workspace: Path) -> None:
    before = os.umask(0o077)
    try:
        await files.write_atomic("new", b"1")
    finally:
        os.umask(before)
    assert (workspace / "new").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not LINUX or os.geteuid() != 0, reason="giving files away takes root")
async def test_the_owner_stays_the_owner(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a").touch()
    os.chown(workspace / "a", 65534, 65534)
    await files.write_atomic("a", b"1")
    assert (workspace / "a").stat().st_uid == 65534


async def test_directories_are_made_once(files: LocalWorkspace, workspace: Path) -> None:
    assert await files.make_directory("a")
    assert not await files.make_directory("a")
    assert await files.make_directory("a/b/c", parents=True)
    assert not await files.make_directory("a/b/c", parents=True)
    assert not await files.make_directory(".", parents=True)
    with pytest.raises(ToolError, match=r"^not_found: x/y"):
        await files.make_directory("x/y")
    (workspace / "file").touch()
    with pytest.raises(ToolError, match=r"^exists: file"):
        await files.make_directory("file")
    with pytest.raises(ToolError, match=r"^(exists|not_a_directory): file"):
        await files.make_directory("file/x", parents=True)


async def test_moving_never_replaces_unasked(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a").write_text("A")
    (workspace / "b").write_text("B")
    with pytest.raises(ToolError, match=r"^exists: b"):
        await files.move("a", "b")
    assert (workspace / "b").read_text() == "B"
    await files.move("a", "b", overwrite=True)
    assert (workspace / "b").read_text() == "A"
    (workspace / "d").mkdir()
    await files.move("d", "e")
    await files.move("b", "e/b")
    assert (workspace / "e" / "b").read_text() == "A"


@pytest.mark.parametrize(
    ("source", "destination", "word"),
    [
        ("nothing", "x", "not_found"),
        ("a", "nowhere/x", "not_found"),
        ("d", "d/inside", "invalid_path"),
        ("a", "d", "exists"),
        (".", "x", "protected_root"),
        ("a", ".", "protected_root"),
        ("a", "../x", "path_outside_workspace"),
        ("/etc/hosts", "x", "path_outside_workspace"),
        ("link/a", "x", "symlink"),
        ("a", "link/x", "symlink"),
    ],
)
async def test_moves_that_are_refused(
    files: LocalWorkspace, workspace: Path, source: str, destination: str, word: str
) -> None:
    (workspace / "a").touch()
    (workspace / "d").mkdir()
    (workspace / "link").symlink_to("d")
    with pytest.raises(ToolError, match=f"^{word}: "):
        await files.move(source, destination)
    assert sorted(path.name for path in workspace.rglob("*")) == ["a", "d", "link"]


async def test_a_move_to_another_file_system_is_refused(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a").touch()
    with small_disk(workspace / "disk", "size=64k"):
        with pytest.raises(ToolError, match=r"^cross_device: "):
            await files.move("a", "disk/a")


async def test_a_deletion_does_not_go_into_another_file_system(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "tree").mkdir()
    with small_disk(workspace / "tree" / "disk", "size=64k") as disk:
        (disk / "x").touch()
        for path in ("tree", "tree/disk"):
            with pytest.raises(ToolError, match=r"^mount_point: "):
                await files.remove(path, recursive=True)
        assert (disk / "x").exists()


@pytest.mark.parametrize(
    "path", [".", "", "./", "/", "~", "{ws}", "{ws}/.", "{ws}//", "d/..", "..", "{ws}/../workspace"]
)
async def test_fs19_the_root_is_never_deleted(files: LocalWorkspace, workspace: Path, path: str) -> None:
    (workspace / "d").mkdir()
    for recursive in (False, True):
        with pytest.raises(ToolError, match=r"^(protected_root|path_outside_workspace): "):
            await files.remove(path.format(ws=workspace), recursive=recursive)
    assert (workspace / "d").is_dir()


async def test_deleting_takes_what_it_was_asked_for(files: LocalWorkspace, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "k").touch()
    (workspace / "d" / "e").mkdir(parents=True)
    (workspace / "d" / "e" / "f").touch()
    (workspace / "d" / "link").symlink_to(tmp_path / "theirs")
    (workspace / "link").symlink_to(tmp_path / "theirs")
    with pytest.raises(ToolError, match=r"^not_empty: d"):
        await files.remove("d")
    assert await files.remove("link") == 1
    assert await files.remove("d", recursive=True) == 4
    assert list(workspace.iterdir()) == []
    assert (tmp_path / "theirs" / "k").exists()
    with pytest.raises(ToolError, match=r"^not_found: "):
        await files.remove("d")


async def test_a_deep_tree_is_deleted(files: LocalWorkspace, workspace: Path) -> None:
    here = os.open(workspace, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert await files.remove("d", recursive=True) == 300


def test_a_long_deletion_stops_when_told(workspace: Path) -> None:
    (workspace / "d").mkdir()
    (workspace / "d" / "x").touch()
    stop = threading.Event()
    stop.set()
    assert Changes(Tree(str(workspace))).remove("d", stop, recursive=True) == 0
    assert (workspace / "d" / "x").exists()
