"""Room set aside for what must be recorded when the disk is full."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Finish
from autohands.protocols.errors import StorageUnavailable
from autohands.protocols.records import Step
from autohands.storage.reserve import MOST_BYTES, Reserve
from storage.stores import leased, submit, tables

AGAIN = "AUTOHANDS_TEST_NAMESPACE"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(place)]).returncode:
        pytest.skip("mounting is not allowed here: the same test runs in a namespace of its own")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, leaving: int = 0) -> Path:
    """Take all room there is, or all but some."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while shutil.disk_usage(disk).free > leaving:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return ballast


async def submit_many(store: storage.Store) -> None:
    """Fill what is left of the log's own pages."""
    for _ in range(200):
        await submit(store, prompt="y" * 2000)


async def test_the_room_is_set_aside_by_every_start(path: Path) -> None:
    reserve = path.with_name("reserve")
    for _ in range(2):
        async with storage.open(path):
            assert (reserve.stat().st_size, reserve.stat().st_mode & 0o777) == (MOST_BYTES, 0o600)
            assert reserve.stat().st_blocks * 512 >= MOST_BYTES
        reserve.unlink()


def test_room_that_was_given_up_is_set_aside_anew_when_there_is_enough(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve")
    assert reserve.make()
    reserve.give_up()
    assert not (tmp_path / "reserve").exists()
    given_up = reserve.given_up
    assert reserve.is_regained()
    assert given_up
    assert not reserve.given_up
    assert (tmp_path / "reserve").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a small disk")
async def test_cr10_on_a_full_disk_the_end_of_a_run_is_recorded_and_input_refused(disk: Path) -> None:
    path = disk / "autohands.db"
    async with storage.open(path) as store:
        assert 0 < (disk / "reserve").stat().st_size < MOST_BYTES
        record = await submit(store)
        async with leased(store, record.id) as lease:
            ballast = fill(disk)
            step = Step(turn=1, index=0, kind="model", name="m", status="done", output=b"x" * 3000)
            with pytest.raises(StorageUnavailable, match="full") as refused:
                await submit_many(store)
            assert "free some space" in (refused.value.hint or "")
            assert not (disk / "reserve").exists()
            lease.note(step)
            await lease.commit(Finish(state="done", reason="done", text="said"))
            with pytest.raises(StorageUnavailable, match="full"):
                await submit(store)
            assert (await store.task(record.id)).state == "done"
            assert len(await store.steps(record.id)) == 1
        ballast.unlink()
        await submit(store)
        assert (disk / "reserve").exists()
    with tables(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a small disk")
async def test_cr10_without_room_set_aside_even_the_end_of_a_run_is_refused_until_there_is_some(disk: Path) -> None:
    """The negative twin: it is the reserve that lets it be recorded."""
    async with storage.open(disk / "autohands.db") as store:
        record = await submit(store)
        (disk / "reserve").unlink()
        async with leased(store, record.id) as lease:
            ballast = fill(disk)
            with pytest.raises(StorageUnavailable, match="full"):
                await submit_many(store)
            end = Finish(state="done", reason="done", text="y" * 100_000)
            with pytest.raises(StorageUnavailable, match="full"):
                await lease.commit(end)
            assert (await store.task(record.id)).state == "running"
            ballast.unlink()
            await lease.commit(end)
            assert (await store.task(record.id)).state == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a small disk")
async def test_cr10_each_way_to_write_is_refused_by_type_and_recovers(disk: Path) -> None:
    async with storage.open(disk / "autohands.db") as store:
        await submit(store)
        ballast = fill(disk)
        with pytest.raises(StorageUnavailable) as blob:
            await store.blobs.put(b"x" * 500_000, "image/png")
        with pytest.raises(StorageUnavailable) as backup:
            await store.back_up(1)
        for error in (blob.value, backup.value):
            assert "space" in f"{error.text} {error.hint}"
        assert len(await store.tasks()) == 1
        ballast.unlink()
        assert await store.blobs.get(await store.blobs.put(b"x" * 5000, "image/png")) == b"x" * 5000
        assert (await store.back_up(1)).tasks == 1
    assert not list((disk / "backups").glob(".*"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or AGAIN in os.environ, reason="runs the tests above in a namespace")
async def test_cr10_the_same_without_the_right_to_mount_in_a_namespace_of_ones_own(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], capture_output=True).returncode == 0:
        subprocess.run(["umount", str(tmp_path)], check=True)
        return  # they have run as they are
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cr10", __file__]
    command = ["unshare", "--user", "--map-root-user", "--mount", *pytest_here]
    done = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, AGAIN: "1"}, capture_output=True, text=True, timeout=50
    )
    if "Operation not permitted" in done.stderr and os.environ.get("CI") != "true":
        pytest.skip("namespaces are not allowed here")
    assert done.returncode == 0, done.stdout + done.stderr
