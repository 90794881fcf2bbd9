"""Looking at files: only regular ones, in constant memory, with caps on time and number."""

import asyncio
import hashlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from autohands.core.openat2 import Opener, walk_beneath
from autohands.core.tree import Tree
from autohands.core.workspace import LocalWorkspace
from autohands.protocols.errors import ToolError
from core.disk import LINUX, PEAK_MIB, WAYS, opened, run_script, unguarded


@pytest.fixture(params=WAYS)
async def files(request: pytest.FixtureRequest, workspace: Path) -> AsyncIterator[LocalWorkspace]:
    async with opened(workspace, request.param) as files:
        yield files


async def test_a_file_is_read_with_its_hash(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a").write_bytes(b"hello")
    whole = await files.read_bytes("a", 5)
    assert (whole.data, whole.sha256) == (b"hello", hashlib.sha256(b"hello").hexdigest())
    assert (whole.stat.kind, whole.stat.size, whole.stat.nlink) == ("file", 5, 1)
    head = await files.read_bytes("a", 4)
    assert (head.data, head.sha256) == (b"hell", None)


async def test_a_reader_reads_on_and_anywhere(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a").write_bytes(b"0123456789\xff")
    async with files.open("a") as file:
        assert file.stat.size == 11
        assert [await file.read(4), await file.pread(3, 7), await file.read(4)] == [b"0123", b"789", b"4567"]
        assert await file.read_text() == "0123456789\ufffd"
        assert await file.pread(5, 11) == b""


async def test_a_file_that_grows_is_read_as_far_as_it_goes(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "log").write_bytes(b"one")
    async with files.open("log") as file:
        with (workspace / "log").open("ab") as log:
            log.write(b"two")
        assert await file.pread(99, 0) == b"onetwo"
        assert file.stat.size == 3


async def test_stat_does_not_follow_the_last_symlink(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "link").symlink_to("nowhere")
    (workspace / "d").mkdir(mode=0o700)
    link, directory, root = await files.stat("link"), await files.stat("d"), await files.stat(".")
    assert link is not None
    assert link.kind == "symlink"
    assert directory is not None
    assert (directory.kind, directory.mode) == ("directory", 0o700)
    assert root is not None
    assert root.kind == "directory"
    assert await files.stat("nothing") is await files.stat("nothing/below") is await files.stat("link/below") is None


def special(directory: Path) -> dict[str, Path]:
    """A file of each kind that is not regular, as far as this user can make them."""
    os.mkfifo(directory / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / "socket"))
    (directory / "directory").mkdir()
    if LINUX and os.geteuid() == 0:
        os.mknod(directory / "zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        os.mknod(directory / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 0))
    return {path.name: path for path in directory.iterdir()}


async def test_fs06_what_is_no_regular_file_is_refused_at_once(
    files: LocalWorkspace, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)  # the path of a socket is short
    async with asyncio.timeout(10):
        for name in special(Path()):
            with pytest.raises(ToolError, match=r"^not_a_regular_file: "):
                await files.read_bytes(name, 100)
            with pytest.raises(ToolError, match=r"^(not_a_regular_file|is_a_directory): "):
                await files.write_atomic(name, b"")


async def test_fs06_twin_without_the_flag_a_fifo_blocks(workspace: Path) -> None:
    def patient(root: int) -> Opener:
        return lambda path, flags, follow: walk_beneath(root)(path, flags & ~os.O_NONBLOCK, follow)

    os.mkfifo(workspace / "fifo")
    async with opened(workspace, patient) as files:
        reading = asyncio.create_task(files.read_bytes("fifo", 100))
        done, _ = await asyncio.wait([reading], timeout=0.3)
        assert not done
        with (workspace / "fifo").open("wb"):  # lets it go
            with pytest.raises(ToolError):
                await asyncio.wait_for(reading, 10)


@pytest.mark.skipif(not LINUX, reason="/proc is Linux's")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["proc/kmsg", "proc/self/mem", "proc/self/environ", "sys/kernel/uevent_seqnum"])
async def test_fs07_the_kernels_own_files_are_refused(way: Callable[[int], Opener], path: str) -> None:
    async with opened(Path("/"), way) as files:
        with pytest.raises(ToolError, match=r"^(kernel_filesystem|permission_denied|symlink): "):
            await files.read_bytes(path, 100)
        with pytest.raises(ToolError, match=r"^kernel_filesystem: "):
            await files.list("proc")
        with pytest.raises(ToolError, match=r"^kernel_filesystem: "):
            await files.write_atomic("proc/sys/vm/swappiness", b"60")


@pytest.mark.skipif(not LINUX, reason="/proc is Linux's")
def test_fs07_twin_the_kind_of_file_would_not_tell() -> None:
    for path in ("/proc/self/mem", "/proc/self/environ"):
        assert stat.S_ISREG(Path(path).stat().st_mode)


SPARSE = (
    PEAK_MIB
    + """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from autohands.core.workspace import LocalWorkspace
async def main():
    files = LocalWorkspace(sys.argv[1], ThreadPoolExecutor(2))
    await files.stat("huge")
    before = peak_mib()
    head = await files.read_bytes("huge", int(sys.argv[2]))
    async with files.open("huge") as file:
        tail = await file.pread(64 << 10, file.stat.size - 3)
        for at in range(0, 64 << 20, 1 << 20):
            await file.pread(1 << 20, at)
    print(head.stat.size, len(head.data), head.sha256, tail.decode(), peak_mib() - before)
asyncio.run(main())
"""
)


def make_huge(path: Path, size: int) -> None:
    """A sparse file with text at both ends; skips where the disk has no sparse files."""
    with path.open("wb") as file:
        file.write(b"first line\n")
        try:
            file.truncate(size)
        except OSError:
            pytest.skip("this file system has no files of this size")
        file.seek(size - 3)
        file.write(b"end")
    if path.stat().st_blocks * 512 > size // 2:
        pytest.skip("this file system has no sparse files")


def test_fs08_a_sparse_file_of_10_gb_is_read_in_constant_memory(workspace: Path) -> None:
    make_huge(workspace / "huge", 10 << 30)
    size, length, sha256, tail, mib = run_script(SPARSE, workspace, 64 << 10).split()
    assert (int(size), int(length), sha256, tail) == (10 << 30, 64 << 10, "None", "end")
    assert int(mib) < 32


def test_fs08_twin_a_limit_too_high_is_seen(workspace: Path) -> None:
    make_huge(workspace / "huge", 10 << 30)
    assert int(run_script(SPARSE, workspace, 64 << 20).split()[-1]) > 32


async def test_fs16_a_large_directory_is_listed_up_to_the_cap(files: LocalWorkspace, workspace: Path) -> None:
    for number in range(5000):
        (workspace / f"{number:05}").touch()
    listing = await files.list(".", limit=100)
    assert [entry.path for entry in listing.entries] == [f"{number:05}" for number in range(100)]
    assert listing.truncated


async def test_fs16_no_descent_through_symlinks(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a" / "b").mkdir(parents=True)
    (workspace / "a" / "b" / "loop").symlink_to("../..")
    (workspace / "a" / "file").touch()
    listing = await files.list(".", depth=32)
    assert [(entry.path, entry.stat.kind, entry.target) for entry in listing.entries] == [
        ("a", "directory", ""),
        ("a/b", "directory", ""),
        ("a/file", "file", ""),
        ("a/b/loop", "symlink", "../.."),
    ]
    assert (listing.truncated, listing.unreadable) == (False, ())


async def test_fs16_depth_and_limit_count_level_by_level(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a" / "deep").mkdir(parents=True)
    (workspace / "z").touch()
    assert [entry.path for entry in (await files.list(".", depth=1)).entries] == ["a", "z"]
    listing = await files.list(".", depth=9, limit=2)
    assert ([entry.path for entry in listing.entries], listing.truncated) == (["a", "z"], True)


UNREADABLE = """
import asyncio, os, sys
from concurrent.futures import ThreadPoolExecutor
from autohands.core.workspace import LocalWorkspace
async def main():
    files = LocalWorkspace(sys.argv[1], ThreadPoolExecutor(2))
    if os.geteuid() == 0:
        os.setuid(65534)
    listing = await files.list(".", depth=3)
    print([entry.path for entry in listing.entries], listing.unreadable)
    for doing in (files.list("closed"), files.read_bytes("closed/x", 9), files.write_atomic("closed/x", b"")):
        try:
            await doing
        except Exception as error:
            print(str(error).split(":")[0])
asyncio.run(main())
"""


def test_fs16_a_directory_that_cannot_be_read_is_named(workspace: Path) -> None:
    (workspace / "closed").mkdir()
    (workspace / "closed" / "x").touch()
    (workspace / "open").mkdir()
    (workspace / "open" / "x").touch()
    workspace.chmod(0o755)
    (workspace / "closed").chmod(0o000)
    try:
        listed, *refusals = run_script(UNREADABLE, workspace).splitlines()
    finally:
        (workspace / "closed").chmod(0o700)
    assert listed == "['closed', 'open', 'open/x'] ('closed',)"
    assert refusals == ["permission_denied"] * 3


async def test_listing_what_is_no_directory(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "a").touch()
    with pytest.raises(ToolError, match=r"^not_a_directory: a"):
        await files.list("a")
    with pytest.raises(ToolError, match=r"^not_found: b"):
        await files.list("b")


async def test_a_directory_can_be_held_open_for_a_process(files: LocalWorkspace, workspace: Path) -> None:
    (workspace / "sub").mkdir()
    (workspace / "sub" / "marker").touch()
    async with files.open_directory("sub") as directory:
        (workspace / "sub").rename(workspace / "moved")
        assert [entry.name for entry in os.scandir(directory.fd)] == ["marker"]
        assert directory.path == str(workspace.resolve() / "sub")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(directory.fd)


async def test_a_read_that_is_cancelled_leaves_no_descriptor(workspace: Path) -> None:
    (workspace / "a").touch()
    async with opened(workspace) as files:
        async with files.open("a"):
            pass
        before = sorted(Path("/dev/fd").iterdir())
        for _ in range(50):
            entering = asyncio.ensure_future(files.open("a").__aenter__())
            await asyncio.sleep(0)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
        assert len(sorted(Path("/dev/fd").iterdir())) == len(before)


def test_a_missing_root_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Tree(str(tmp_path / "nothing"))


async def test_a_root_that_was_replaced_is_not_touched(workspace: Path, tmp_path: Path) -> None:
    async with opened(workspace) as files:
        workspace.rename(tmp_path / "moved")
        workspace.mkdir()
        await files.write_atomic("a", b"1")
    assert (tmp_path / "moved" / "a").read_bytes() == b"1"
    assert list(workspace.iterdir()) == []


async def test_fs03_twin_reading_through_a_parent_is_what_the_way_in_prevents(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "k").write_text("secret")
    (workspace / "up").symlink_to("..")
    async with opened(workspace, unguarded) as files:
        assert (await files.read_bytes("up/k", 9)).data == b"secret"
