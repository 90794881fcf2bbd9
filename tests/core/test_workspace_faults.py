"""What a workspace withstands: races, kill -9 at any point, a full disk, no descriptors left."""

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autohands.core.failures import failure
from autohands.protocols.errors import ToolError
from core.disk import LINUX, opened, run_script, small_disk


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where nothing waits for a disk; elsewhere a plain one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as directory:
        yield Path(directory)


RACE = """
import os, sys, threading
from pathlib import Path
from autohands.core.changes import Changes
from autohands.core.openat2 import kernel_beneath, walk_beneath
from autohands.core.tree import Tree
from autohands.protocols.errors import ToolError

def naive(root):
    return lambda path, flags, follow: os.open(path, flags, dir_fd=root)

root, outside, rounds, way = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
(root / "d").mkdir()
sys.setswitchinterval(1e-5)
over = threading.Event()

def swap():
    for _ in range(rounds):
        os.rename(root / "d", root / "aside")
        os.symlink(outside, root / "d")
        os.unlink(root / "d")
        os.rename(root / "aside", root / "d")
        if over.is_set():
            return

changes = Changes(Tree(str(root), {"openat2": kernel_beneath, "step by step": walk_beneath, "naive": naive}[way]))
done, refused = 0, set()
swapper = threading.Thread(target=swap)
swapper.start()
for number in range(rounds):
    try:
        changes.write(f"d/{number % 50}", b"mine", mode=None, parents=False, expected_sha256=None)
        done += 1
    except ToolError as error:
        refused.add(error.text.split(":")[0])
    if way == "naive" and any(outside.iterdir()):
        break
over.set()
swapper.join()
print(done, *sorted(refused))
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["openat2", "step by step"] if LINUX else ["step by step"])
def test_fs04_no_write_lands_outside_while_a_directory_is_swapped(quick: Path, tmp_path: Path, way: str) -> None:
    (tmp_path / "outside").mkdir()
    done, *refused = run_script(RACE, quick, tmp_path / "outside", 10_000, way).split()
    assert list((tmp_path / "outside").iterdir()) == []
    assert int(done) > 0
    assert {"symlink", "not_a_directory", "not_found"} & set(refused)


def test_fs04_twin_without_the_guard_a_write_lands_outside(quick: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    run_script(RACE, quick, tmp_path / "outside", 10_000, "naive")
    assert [path.read_bytes() for path in (tmp_path / "outside").iterdir()] in ([b"mine"], [b""])


# Forks a child for each point and kills it with SIGKILL when it reaches that line of the write.
KILLED = """
import os, signal, sys
from pathlib import Path
from autohands.core import changes as module
from autohands.core.changes import Changes
from autohands.core.tree import Tree

root, careful = Path(sys.argv[1]), sys.argv[2] == "careful"
old, new = b"old " * 50_000, b"new " * 60_000

def naive(path):
    with open(path, "wb") as file:
        for start in range(0, len(new), 4000):
            file.write(new[start : start + 4000])

def write(tree):
    Changes(tree).write("a", new, mode=None, parents=False, expected_sha256=None) if careful else naive(root / "a")

def die_at(point):
    passed = 0
    def trace(frame, event, argument):
        nonlocal passed
        if frame.f_code.co_filename not in (module.__file__, __file__):
            return None
        passed += event == "line"
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

__file__ = "<string>"
seen, left = {}, 0
for point in range(1, 400):
    (root / "a").write_bytes(old)
    child = os.fork()
    if child == 0:
        tree = Tree(str(root))
        sys.settrace(die_at(point))
        write(tree)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    content = (root / "a").read_bytes()
    name = "old" if content == old else "new" if content == new else "mixed"
    seen[name] = seen.get(name, 0) + 1
    for path in root.glob(".autohands-*"):
        left += 1
        path.unlink()
    if status == 0:
        break
print(point, left, *sorted(seen))
"""


def test_fs13_killed_at_any_point_a_write_leaves_the_old_content_or_the_new(workspace: Path) -> None:
    points, left, *seen = run_script(KILLED, workspace, "careful").split()
    assert int(points) > 50
    assert seen == ["new", "old"]
    assert int(left) <= (int(points) if not LINUX else 8), "a file without a name leaves nothing behind"


def test_fs13_twin_a_naive_write_leaves_a_mixture(workspace: Path) -> None:
    assert "mixed" in run_script(KILLED, workspace, "naive").split()


async def test_fs14_a_full_disk_is_told_and_the_old_content_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64k") as disk:
        async with opened(disk) as files:
            await files.write_atomic("a", b"old")
            for _ in range(3):
                with pytest.raises(ToolError, match=r"^storage_full: a: "):
                    await files.write_atomic("a", b"x" * (1 << 20))
                with pytest.raises(ToolError, match=r"^storage_full: b/c: "):
                    await files.write_atomic("b/c", b"x" * (1 << 20), parents=True)
            assert sorted(path.name for path in disk.rglob("*")) == ["a", "b"]
            assert (disk / "a").read_bytes() == b"old"
            await files.write_atomic("a", b"new")


async def test_fs14_twin_a_naive_write_on_a_full_disk_loses_the_old_content(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64k") as disk:
        (disk / "a").write_bytes(b"old")
        with pytest.raises(OSError, match="No space"):
            (disk / "a").write_bytes(b"x" * (1 << 20))
        assert (disk / "a").read_bytes() != b"old"


async def test_fs14_a_full_inode_table_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m,nr_inodes=3") as disk:
        async with opened(disk) as files:
            for name in "ab":
                await files.write_atomic(name, b"1")
            with pytest.raises(ToolError, match=r"^storage_full: "):
                await files.write_atomic("c", b"1")
            with pytest.raises(ToolError, match=r"^storage_full: "):
                await files.make_directory("d")


async def test_fs14_a_read_only_disk_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64k,ro") as disk:
        async with opened(disk) as files:
            for doing in (files.write_atomic("a", b""), files.make_directory("a")):
                with pytest.raises(ToolError, match=r"^read_only: a: "):
                    await doing


LIMITED = """
import asyncio, os, resource, sys
from concurrent.futures import ThreadPoolExecutor
from autohands.core.workspace import LocalWorkspace
from autohands.protocols.errors import ToolError

async def main(limit, value):
    files = LocalWorkspace(sys.argv[1], ThreadPoolExecutor(1))
    await files.write_atomic("a", b"old")
    before = resource.getrlimit(limit)
    resource.setrlimit(limit, (value, before[1]))
    for doing in (files.write_atomic("a", b"x" * (1 << 20)), files.read_bytes("a", 9), files.list(".")):
        try:
            await doing
            print("done")
        except ToolError as error:
            print(error.text.split(":")[0])
    resource.setrlimit(limit, before)
    await files.write_atomic("a", b"new")
    print(*os.listdir(sys.argv[1]))

limit = getattr(resource, sys.argv[2])
asyncio.run(main(limit, int(sys.argv[3])))
"""


def test_fs14_without_descriptors_left_it_is_told_and_goes_on_later(workspace: Path) -> None:
    assert run_script(LIMITED, workspace, "RLIMIT_NOFILE", 3).splitlines() == [*["too_many_files"] * 3, "a"]
    assert (workspace / "a").read_bytes() == b"new"


def test_fs14_a_file_beyond_the_limit_is_told(workspace: Path) -> None:
    assert run_script(LIMITED, workspace, "RLIMIT_FSIZE", 1 << 16).splitlines() == [
        "file_too_large",
        "done",
        "done",
        "a",
    ]
    assert (workspace / "a").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (errno.EDQUOT, "storage_full"),
        (errno.ENOSPC, "storage_full"),
        (errno.EROFS, "read_only"),
        (errno.EIO, "io_error"),
        (errno.EMFILE, "too_many_files"),
        (errno.ENFILE, "too_many_files"),
        (errno.EACCES, "permission_denied"),
        (errno.EBUSY, "busy"),
        (errno.ESTALE, "io_error"),
    ],
)
def test_fs14_each_failure_has_its_word(code: int, word: str) -> None:
    told = failure(OSError(code, os.strerror(code)), "some/file").text
    assert told.startswith(f"{word}: some/file: ")
