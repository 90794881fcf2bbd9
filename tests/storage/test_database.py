"""The writer: units stand alone, refusals come with a remedy, and work goes on when the disk does."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Cancel, RecordStep
from autohands.protocols.errors import ConfigError, NotFound, StorageUnavailable
from autohands.protocols.records import Step
from autohands.storage.connection import connect, is_fatal, needs_reopening
from autohands.storage.database import Database
from autohands.storage.transaction import Transaction
from storage.stores import leased, submit, tables

ROOT = os.geteuid() == 0
OPEN = "import asyncio, pathlib, sys\nfrom autohands import storage\n"
OPEN += "async def main():\n    async with storage.open(pathlib.Path(sys.argv[1])) as store: await store.tasks()\n"
OPEN += "asyncio.run(main())"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
async def test_fs20_files_belong_to_their_owner_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        async with storage.open(path) as store:
            await submit(store)
            await store.blobs.put(b"picture", "image/png")
            found = [path.parent, *path.parent.rglob("*")]
            assert {each.name for each in found} >= {"autohands.db", "autohands.db-wal", "autohands.db-shm", "blobs"}
            assert {mode(each) for each in found if each.is_dir()} == {0o700}
            assert {mode(each) for each in found if each.is_file()} == {0o600}
    finally:
        os.umask(before)


async def test_fs20_an_old_file_loses_the_rights_of_others(path: Path) -> None:
    async with storage.open(path):
        pass
    path.chmod(0o644)
    async with storage.open(path):
        assert mode(path) == 0o600


@pytest.mark.parametrize("others", [0o770, 0o707])
async def test_fs20_a_directory_that_others_can_write_is_refused(path: Path, others: int) -> None:
    path.parent.mkdir()
    path.parent.chmod(others)
    with pytest.raises(ConfigError, match="other users") as refused:
        async with storage.open(path):
            pass
    assert refused.value.hint == f"chmod 700 {path.parent}"
    assert not path.exists()


@pytest.mark.skipif(not ROOT, reason="needs root to give a directory away")
async def test_fs20_a_directory_of_somebody_else_is_refused(path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(ConfigError, match="another user"):
        async with storage.open(path):
            pass


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_cr08_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    with pytest.raises(StorageUnavailable, match=r"no good copy in .*backups") as refused:
        async with storage.open(path):
            pass
    assert "doctor --fix" in (refused.value.hint or "")
    assert path.read_bytes() == content


async def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigError, match="no directory"):
        async with storage.open(tmp_path / "home" / "autohands.db"):
            pass


async def test_processes_may_open_a_new_file_at_once(path: Path) -> None:
    starts = [subprocess.Popen([sys.executable, "-c", OPEN, str(path)]) for _ in range(3)]
    assert [start.wait(timeout=30) for start in starts] == [0, 0, 0]


async def test_a_unit_stands_or_falls_by_itself(store: storage.Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        good = [lease.commit(RecordStep(step=step(number))) for number in range(3)]
        bad = store.commit(Cancel(task="task_none"))
        results = await asyncio.gather(*good, bad, return_exceptions=True)
        assert results[:3] == [[None], [None], [None]]
        assert isinstance(results[3], NotFound)
    assert len(await store.steps(record.id)) == 3


async def test_a_group_in_which_a_unit_fails_is_run_again_without_it(path: Path) -> None:
    held, runs, committed = threading.Event(), list[str](), list[Transaction]()

    def note(tx: Transaction, name: str) -> str:
        runs.append(name)
        tx.connection.execute("INSERT INTO meta VALUES(?, '1')", (name,))
        if name == "bad":
            raise NotFound("there is nothing")
        return name

    database = Database(path, committed.append, lambda: None)
    await database.open()
    try:
        async with asyncio.timeout(20):
            blocked = asyncio.create_task(database.write(lambda _tx: held.wait(20)))
            writes = [asyncio.create_task(database.write(partial(note, name=name))) for name in ("one", "bad", "two")]
            await asyncio.sleep(0)
            held.set()
            await blocked
            results = await asyncio.gather(*writes, return_exceptions=True)
    finally:
        await database.close()
    assert runs == ["one", "bad", "one", "bad", "two"]
    assert [str(each) for each in results] == ["one", "there is nothing", "two"]
    assert len(committed) == 3
    with tables(path) as connection:
        assert connection.execute("SELECT key FROM meta WHERE value = '1' ORDER BY key").fetchall() == [
            ("one",),
            ("two",),
        ]


def step(number: int) -> Step:
    return Step(turn=number, index=0, kind="tool", name="t", status="done", output=b"x" * 50_000)


async def test_cr10_a_full_database_refuses_and_goes_on_when_there_is_room(store: storage.Store) -> None:
    record = await submit(store)
    await limit_pages(store, 0)
    async with leased(store, record.id) as lease:
        for number in range(5):
            lease.note(step(number))
        with pytest.raises(StorageUnavailable, match="full") as refused:
            await lease.commit()
        assert "space" in (refused.value.hint or "")
        assert await store.steps(record.id) == []
        assert (await store.task(record.id)).state == "running"
        await limit_pages(store, 1_000_000)
        await lease.commit()
        assert len(await store.steps(record.id)) == 5


async def limit_pages(store: storage.Store, most: int) -> None:
    """SQLite's own full disk: the file may not grow any more."""
    await store._database.write(lambda tx: tx.connection.execute(f"PRAGMA max_page_count = {most + 1}").fetchone())


@pytest.mark.skipif(not ROOT or sys.platform != "linux", reason="needs root to mount a small file system")
async def test_cr10_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        async with storage.open(disk / "autohands.db") as store:
            record = await submit(store)
            (disk / "ballast").write_bytes(b"x" * (shutil.disk_usage(disk).free - 64 * 1024))
            async with leased(store, record.id) as lease:
                for number in range(10):
                    lease.note(step(number))
                with pytest.raises(StorageUnavailable):
                    await lease.commit()
                assert await store.steps(record.id) == []
                (disk / "ballast").unlink()
                await lease.commit()
            assert len(await store.steps(record.id)) == 10
        with tables(disk / "autohands.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_cr11_after_an_error_the_connection_is_opened_anew(path: Path) -> None:
    async with storage.open(path) as store:
        with pytest.raises(StorageUnavailable, match="cannot be written"):
            await store._database.write(break_connection)
        await submit(store)


def break_connection(tx: Transaction) -> None:
    """Fail with an error that concerns everybody, on a connection that would go on failing."""
    tx.connection.execute("PRAGMA query_only = ON")
    tx.connection.execute("DELETE FROM meta")


async def test_a_file_that_is_gone_is_not_made_anew(path: Path) -> None:
    async with storage.open(path) as store:
        await submit(store)
        path.rename(path.with_name("moved"))
        with pytest.raises(StorageUnavailable):
            await store._database.write(break_connection)
        with pytest.raises(StorageUnavailable, match="cannot be opened"):
            await submit(store)
        assert not path.exists()


async def test_a_closed_store_says_so(path: Path) -> None:
    async with storage.open(path) as store:
        pass
    with pytest.raises(StorageUnavailable, match="closed"):
        await submit(store)


def test_errors_of_the_file_are_told_from_those_of_a_unit(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    connection = connect(path)
    with pytest.raises(sqlite3.Error) as syntax:
        connection.execute("SELEKT")
    connection.execute("CREATE TABLE t(a UNIQUE)")
    connection.execute("INSERT INTO t VALUES(1)")
    with pytest.raises(sqlite3.IntegrityError) as twice:
        connection.execute("INSERT INTO t VALUES(1)")
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.Error) as full:
        connection.execute("INSERT INTO t VALUES(zeroblob(100000))")
    connection.close()
    assert [is_fatal(each.value) for each in (syntax, twice, full)] == [False, False, True]
    assert not needs_reopening(full.value)


async def test_other_processes_are_noticed_only_while_somebody_watches(path: Path) -> None:
    noticed = asyncio.Event()
    database = Database(path, lambda _tx: None, noticed.set)
    await database.open()
    try:
        await database.write(lambda tx: tx.connection.execute("INSERT INTO meta VALUES('a', '1')"))
        with database.watching(), tables(path) as other:
            await asyncio.sleep(0.3)  # own writes are none of another's
            assert not noticed.is_set()
            other.execute("INSERT INTO meta VALUES('b', '1')")
            async with asyncio.timeout(10):
                await noticed.wait()
        await asyncio.sleep(0.2)
        noticed.clear()
        with tables(path) as other:
            other.execute("INSERT INTO meta VALUES('c', '1')")
            await asyncio.sleep(0.3)
        assert not noticed.is_set()
    finally:
        await database.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_where_the_writer_ends_against_all_expectations_nobody_waits_for_it(path: Path) -> None:
    gate = threading.Event()

    def fatal(tx: Transaction) -> None:
        raise SystemExit

    async with storage.open(path) as store:
        write = store._database.write
        waiting = [asyncio.ensure_future(write(unit)) for unit in (lambda tx: gate.wait(20), fatal, number_of_tasks)]
        await asyncio.sleep(0)
        gate.set()
        async with asyncio.timeout(20):
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in outcomes[1:]] == [StorageUnavailable] * 2
        with pytest.raises(StorageUnavailable):
            await write(number_of_tasks)


def number_of_tasks(tx: Transaction) -> int:
    return int(tx.connection.execute("SELECT count(*) FROM task").fetchone()[0])
