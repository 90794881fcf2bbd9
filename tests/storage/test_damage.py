"""A damaged database is noticed, put aside and replaced by its newest good state; what is lost is said in numbers."""

import asyncio
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from autohands import storage
from autohands.protocols.changes import Cancel
from autohands.protocols.errors import AutoHandsError, Conflict, StorageUnavailable
from autohands.storage import backups, damage
from autohands.storage.connection import connect
from autohands.storage.mark import MARK
from storage.stores import submit, tables

WORKER = str(Path(__file__).with_name("disk_worker.py"))
LEAVE = (
    "import asyncio, os, pathlib, sys\nfrom autohands import storage\n"
    "from autohands.protocols.changes import Enqueue\nfrom autohands.protocols.task import Task\n"
    "async def main():\n  async with storage.open(pathlib.Path(sys.argv[1])) as store:\n"
    "    for _ in range(int(sys.argv[2])): await store.commit(Enqueue(task=Task(prompt='go')))\n"
    "    os._exit(0)\n"
    "asyncio.run(main())"
)


def killed(path: Path, tasks: int) -> None:
    """A program that accepted tasks one by one and died without closing the file."""
    subprocess.run([sys.executable, "-c", LEAVE, str(path), str(tasks)], check=True, timeout=30)


async def with_backup(path: Path, tasks: int = 3) -> None:
    """A closed database with some tasks, all in a backup."""
    async with storage.open(path) as store:
        for _ in range(tasks):
            await submit(store)
        await store.back_up(3)


def report(path: Path) -> dict[str, object]:
    (folder,) = (path.parent / damage.FOLDER).iterdir()
    found: dict[str, object] = json.loads((folder / damage.REPORT).read_bytes())
    return found


def zero(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size * 2 // 3 // 4096 * 4096)


def garble(path: Path) -> None:
    with path.open("rb+") as file:
        file.write(b"\xff" * 100)


def garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


HARMS = [zero, cut, garble, garbage, Path.unlink]


@pytest.mark.parametrize("harm", HARMS)
async def test_cr08_a_damaged_file_is_put_aside_and_the_backup_takes_its_place(
    path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    await with_backup(path)
    async with storage.open(path) as store:
        for _ in range(2):
            await submit(store)
    harm(path)
    async with storage.open(path) as store:
        assert store.loss is not None
        assert (store.loss.commits, store.loss.tasks) == (2, 2)
        assert store.loss.restored.startswith(str(path.parent / "backups"))
        assert len(await store.tasks()) == 3
        await submit(store)
    assert "2 commits are lost, with them 2 tasks" in caplog.text
    async with storage.open(path) as store:
        assert store.loss is None
        assert len(await store.tasks()) == 4
    if harm is not Path.unlink:
        assert report(path)["commits"] == 2


@pytest.mark.parametrize("harm", HARMS)
async def test_cr08_without_a_backup_the_start_is_refused_with_the_remedy_and_nothing_is_touched(
    path: Path, harm: Callable[[Path], None]
) -> None:
    async with storage.open(path) as store:
        await submit(store)
    harm(path)
    before = path.read_bytes() if path.exists() else None
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="no good copy") as refused:
            async with storage.open(path):
                pass
        assert refused.value.hint == damage.ANEW
    assert (path.read_bytes() if path.exists() else None) == before
    aside = damage.begin_anew(path)
    assert (aside / path.name).read_bytes() == before if aside and before is not None else aside is None
    async with storage.open(path) as store:
        assert await store.tasks() == []


async def test_cr08_a_log_that_was_removed_is_noticed_though_the_file_is_sound(path: Path) -> None:
    async with storage.open(path) as store:
        await submit(store)
    killed(path, 5)
    path.with_name("autohands.db-wal").unlink()
    with tables(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with storage.open(path) as store:
        assert store.loss is not None
        assert (store.loss.commits, store.loss.tasks) == (5, 5)
        assert store.loss.restored == "what is left of it"
        (task,) = await store.tasks()
        assert (task.state, task.reason) == ("paused", "restored")
    assert "5 commits are missing" in str(report(path)["reason"])


async def test_cr08_with_its_log_a_killed_programs_file_is_whole(path: Path) -> None:
    killed(path, 5)
    async with storage.open(path) as store:
        assert store.loss is None
        assert {task.state for task in await store.tasks()} == {"ready"}
        assert len(await store.tasks()) == 5


async def test_cr08_an_older_file_put_in_place_is_noticed(path: Path) -> None:
    await with_backup(path)
    old = path.read_bytes()
    async with storage.open(path) as store:
        await submit(store)
    path.write_bytes(old)
    async with storage.open(path) as store:
        assert store.loss is not None
        assert (store.loss.commits, len(await store.tasks())) == (1, 3)


async def test_cr08_another_database_is_taken_as_it_is_and_said_to_be_another(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other" / "autohands.db"
    await with_backup(path, 9)
    await with_backup(other, 2)
    shutil.copy(other, path)
    async with storage.open(path) as store:
        assert store.loss is None
        assert len(await store.tasks()) == 2
    assert "another database" in caplog.text


async def test_cr08_without_a_mark_nothing_is_known_to_be_lost(path: Path) -> None:
    """The negative twin: it is the mark that notices."""
    await with_backup(path)
    killed(path, 2)
    path.with_name("autohands.db-wal").unlink()
    path.with_name(MARK).unlink()
    async with storage.open(path) as store:
        assert store.loss is None
        assert len(await store.tasks()) == 3


async def test_cr08_an_index_of_the_log_that_is_stale_is_made_anew(path: Path) -> None:
    killed(path, 5)
    path.with_name("autohands.db-shm").write_bytes(random.Random(1).randbytes(32_768))
    async with storage.open(path) as store:
        assert len(await store.tasks()) == 5
        assert store.loss is None


@pytest.mark.slow
async def test_cr08_bits_flipped_in_100_places_end_in_a_typed_error_or_a_whole_database(
    path: Path, tmp_path: Path
) -> None:
    await with_backup(path, 40)
    whole, chance, noticed = path.read_bytes(), random.Random(8), 0
    for number in range(100):
        home = tmp_path / f"flip{number}"
        shutil.copytree(path.parent, home)
        harmed = bytearray(whole)
        at = chance.randrange(100) if number < 20 else chance.randrange(len(whole))
        harmed[at] ^= 1 << chance.randrange(8)
        (home / path.name).write_bytes(harmed)
        try:
            async with storage.open(home / path.name) as store:
                await store.tasks(limit=1000)
                await store.sessions()
                await submit(store)
        except AutoHandsError:
            noticed += 1
        damage.mend(home / path.name)
        assert damage.examine(home / path.name) is None
        noticed += (home / damage.FOLDER).exists()
        shutil.rmtree(home)
    assert noticed > 0


async def test_cr08_damage_met_at_work_is_typed_and_the_next_start_checks_all(path: Path) -> None:
    await with_backup(path, 30)
    spoil_rows(path)
    async with storage.open(path) as store:  # the quick look at the start cannot see it
        assert store.loss is None
    async with storage.open(path) as store:
        (task,) = await store.tasks(limit=1)
        with pytest.raises(StorageUnavailable, match="damaged"):
            await store.journal.events(task.id)
    async with storage.open(path) as store:
        assert store.loss is not None
        assert store.loss.commits == 0
        assert {task.state for task in await store.tasks(limit=1000)} == {"ready"}


async def test_cr08_damage_nobody_has_met_is_found_by_a_whole_check(path: Path) -> None:
    await with_backup(path, 30)
    assert damage.examine(path) is None
    spoil_rows(path)
    assert damage.examine(path) is not None
    assert damage.mend(path) is not None
    assert damage.examine(path) is None
    assert damage.mend(path) is None


def spoil_rows(path: Path) -> None:
    """Overwrite the first page of the events."""
    with tables(path) as connection:
        pages = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'event' AND rootpage > 0"
        ).fetchall()
    with path.open("rb+") as file:
        for (page,) in pages:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)


async def test_cr08_a_locked_database_says_who_to_look_for(path: Path) -> None:
    async with storage.open(path) as store:
        await submit(store)
    connection = connect(path)
    try:
        connection.execute("PRAGMA busy_timeout = 50")
        with tables(path) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                connection.execute("BEGIN IMMEDIATE")
    finally:
        connection.close()


async def test_cr14_a_copy_is_restored_and_what_stood_there_is_kept(path: Path) -> None:
    await with_backup(path)
    (copy,) = backups.kept(path.parent / "backups")
    async with storage.open(path) as store:
        late = await submit(store)
        first = (await store.tasks())[-1]
        await store.commit(Cancel(task=first.id))
    loss = damage.restore(path, copy)
    assert (loss.commits, loss.tasks, loss.resting) == (2, 1, 3)
    async with storage.open(path) as store:
        assert {task.state for task in await store.tasks()} == {"paused"}
        assert store.loss is None
    with tables(Path(loss.aside) / path.name) as connection:
        assert connection.execute("SELECT 1 FROM task WHERE id = ?", (late.id,)).fetchone()


async def test_cr14_what_was_restored_counts_as_newer_than_what_it_replaced(path: Path) -> None:
    await with_backup(path)
    (copy,) = backups.kept(path.parent / "backups")
    async with storage.open(path) as store:
        for _ in range(4):
            await submit(store)
    damage.restore(path, copy)
    path.with_name(MARK).write_bytes(path.with_name(MARK).read_bytes())
    async with storage.open(path) as store:
        assert store.loss is None
        await submit(store)
        made = await store.back_up(3)
    path.unlink()
    async with storage.open(path) as store:
        assert store.loss is not None
        assert (store.loss.restored, len(await store.tasks())) == (made.path, 4)


async def test_cr14_nothing_is_restored_under_a_living_program(path: Path) -> None:
    await with_backup(path)
    (copy,) = backups.kept(path.parent / "backups")
    with subprocess.Popen(
        [sys.executable, WORKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin
        assert worker.stdout
        assert await asyncio.to_thread(worker.stdout.readline) == "open\n"
        with pytest.raises(Conflict, match="in use"):
            damage.restore(path, copy)
        with pytest.raises(Conflict, match="in use"):
            damage.begin_anew(path)
        worker.stdin.write("put\nstop\n")
        worker.stdin.flush()
        assert worker.stdout.readline().startswith("task_")
    assert msgspec.json.encode(damage.restore(path, copy))


@pytest.mark.parametrize("place", ["damage.prepared", "damage.set_aside", "damage.replaced", "backups.copied"])
async def test_cr01_a_replacement_that_is_killed_is_completed_by_the_next_start(path: Path, place: str) -> None:
    await with_backup(path)
    killed(path, 2)
    cut(path)
    path.with_name("autohands.db-wal").unlink()
    environment = {"AUTOHANDS_FAILPOINT": place}
    subprocess.run([sys.executable, "-c", LEAVE, str(path), "1"], env=environment, timeout=30)
    async with storage.open(path) as store:
        tasks = await store.tasks()
        assert len(tasks) == (4 if place == "backups.copied" else 3)  # that one is not passed
        await submit(store)
    assert damage.examine(path) is None
    assert not list(path.parent.glob(".*"))
