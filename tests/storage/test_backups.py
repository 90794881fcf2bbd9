"""Copies made while others write: whole, checked, private, and good on another host."""

import asyncio
import os
import shutil
import threading
import time
from pathlib import Path

import msgspec
import pytest

from autohands import storage
from autohands.protocols.errors import BadRequest, Conflict, StorageUnavailable
from autohands.protocols.messages import BlobRef
from autohands.storage import backups, damage
from autohands.storage.mark import MARK, Mark
from storage.stores import submit, tables


async def test_cr14_a_copy_made_while_others_write_is_whole_and_restored_on_another_host(
    path: Path, tmp_path: Path
) -> None:
    async with storage.open(path) as store:
        for number in range(20):
            await submit(store, session=f"s{number % 3}", idempotency_key=str(number))
        picture = await store.blobs.put(b"picture", "image/png")
        stop, written = asyncio.Event(), 0

        async def write() -> None:
            nonlocal written
            while not stop.is_set():
                await submit(store)
                written += 1

        writing = asyncio.create_task(write())
        made = await asyncio.to_thread(backups.back_up, path, tmp_path / "copy.db")
        stop.set()
        await writing
        assert 20 <= made.tasks <= 20 + written
        assert (made.events, made.blobs, made.missing) == (made.tasks, 1, 0)
        whole = {task.id: task for task in await store.tasks(limit=10_000)}
    assert Path(made.path).stat().st_mode & 0o777 == 0o600
    assert written > 0

    there = tmp_path / "there" / "autohands.db"
    loss = damage.restore(there, Path(made.path))
    assert (loss.commits, loss.aside) == (None, "")
    async with storage.open(there) as store:
        tasks = await store.tasks(limit=10_000)
        assert len(tasks) == made.tasks
        assert {task.id for task in tasks} <= set(whole)
        assert {task.state for task in tasks} == {"paused", "blocked"}  # it may have gone on where it came from
        assert len(await store.sessions(limit=10_000)) == made.sessions
        assert await store.blobs.get(picture) == b"picture"
        assert (await submit(store)).seq == made.tasks + 1
    assert not list(tmp_path.glob(".*"))


async def test_cr14_the_copy_is_what_was_committed_when_it_began(path: Path) -> None:
    async with storage.open(path) as store:
        await submit(store)
        held, go = threading.Event(), threading.Event()

        class Slow(threading.Event):
            def is_set(self) -> bool:
                held.set()
                go.wait(20)
                return False

        copying = asyncio.create_task(asyncio.to_thread(backups.back_up, path, stop=Slow()))
        await asyncio.to_thread(held.wait, 20)
        await submit(store)  # the copy does not stand in the way, and has none of this
        go.set()
        assert (await copying).tasks == 1


async def test_a_copy_is_not_made_over_something(path: Path, tmp_path: Path) -> None:
    async with storage.open(path):
        pass
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(Conflict, match="exists already"):
        backups.back_up(path, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"


async def test_a_copy_of_a_damaged_database_does_not_count_and_older_ones_stay(path: Path) -> None:
    async with storage.open(path) as store:
        for _ in range(30):
            await submit(store)
        good = await store.back_up(1)
    with tables(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'event'").fetchone()
    with path.open("rb+") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    async with storage.open(path) as store:
        with pytest.raises(StorageUnavailable, match="damaged"):
            await store.back_up(1)
    assert [str(each) for each in (path.parent / "backups").iterdir()] == [good.path]
    mark = Mark(path.with_name(MARK))
    mark.open()
    assert mark.suspected
    mark.close()


async def test_only_the_newest_copies_are_kept_and_what_a_person_put_there(path: Path) -> None:
    async with storage.open(path) as store:
        await store.blobs.put(b"picture", "image/png")
        made = []
        for number in range(4):
            await submit(store)
            made.append((await store.back_up(2)).path)
            if number == 0:
                shutil.copy(made[0], path.parent / "backups" / "mine.db")
    names = {each.name for each in (path.parent / "backups").iterdir()}
    newest = {Path(each).name for each in made[2:]}
    assert names == {"mine.db", *newest, *(f"{each}.blobs" for each in newest)}


async def test_a_copy_that_is_told_to_stop_leaves_nothing(path: Path) -> None:
    async with storage.open(path) as store:
        await submit(store)
        stop = threading.Event()
        stop.set()
        with pytest.raises(StorageUnavailable, match="stopping"):
            backups.back_up(path, stop=stop)
        assert list((path.parent / "backups").iterdir()) == []


async def test_an_image_that_is_gone_is_counted(path: Path) -> None:
    async with storage.open(path) as store:
        ref: BlobRef = await store.blobs.put(b"picture", "image/png")
        (path.parent / "blobs" / ref.sha256[:2] / ref.sha256).unlink()
        made = await store.back_up(1)
        assert (made.blobs, made.missing) == (0, 1)


async def test_what_is_no_copy_is_not_restored(path: Path, tmp_path: Path) -> None:
    async with storage.open(path) as store:
        await submit(store)
        made = await store.back_up(1)
    before = path.read_bytes()
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(Path(made.path).read_bytes()[:-8192])
    newer = tmp_path / "newer.db"
    shutil.copy(made.path, newer)
    with tables(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    foreign = tmp_path / "foreign.db"
    with tables(foreign) as connection:
        connection.execute("CREATE TABLE theirs(a)")
    with pytest.raises(BadRequest, match="is no file"):
        damage.restore(path, tmp_path / "nothing.db")
    with pytest.raises(StorageUnavailable):
        damage.restore(path, damaged)
    with pytest.raises(BadRequest, match="newer AutoHands"):
        damage.restore(path, newer)
    with pytest.raises(BadRequest, match="no database of AutoHands"):
        damage.restore(path, foreign)
    assert path.read_bytes() == before
    assert not (path.parent / damage.FOLDER).exists()
    assert msgspec.json.encode(backups.verify(Path(made.path)))


@pytest.mark.parametrize(("days", "left"), [(2, 0), (0.5, 3)])
async def test_what_killed_copying_has_left_goes_after_a_day(path: Path, days: float, left: int) -> None:
    async with storage.open(path) as store:
        await store.blobs.put(b"picture", "image/png")
        made = Path((await store.back_up(1)).path)
        folder = made.parent
        parts = [folder / ".autohands-x.db.part", folder / ".autohands-x.db.part-journal", folder / "gone.db.blobs"]
        for part in parts[:2]:
            part.touch()
        (parts[2] / "ab").mkdir(parents=True)
        at = time.time() - days * 86_400
        for each in (*parts, made, backups.blobs_of(made)):
            os.utime(each, (at, at))
        assert backups.prune(folder, 1) == 0
        assert sum(part.exists() for part in parts) == left
        assert made.exists()
        assert backups.blobs_of(made).exists()


async def test_a_copy_that_cannot_be_completed_leaves_nothing(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "there" / "copy.db"
    async with storage.open(path) as store:
        await store.blobs.put(b"picture", "image/png")
        blob = next((path.parent / "blobs").glob("??/*"))
        await store.blobs.put(b"another", "image/png")
        blob.unlink()
        blob.mkdir()  # what lies there can neither be linked nor copied
        with pytest.raises(StorageUnavailable):
            await asyncio.to_thread(backups.back_up, path, target)
    assert list(target.parent.iterdir()) == []
