"""Disks that fail, turn read-only or run full under a program, and a log that readers hold up."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.errors import StorageUnavailable
from autohands.storage.connection import LOG_BYTES, log_bytes
from autohands.storage.transaction import Transaction
from storage.stores import submit, tables

ROOT = os.geteuid() == 0
WORKER = str(Path(__file__).with_name("disk_worker.py"))


@contextmanager
def working(path: Path, *before: str) -> Iterator[Callable[[str], Awaitable[str]]]:
    """A program on the database in a process of its own, with `before` in front of it: what it answers to a word."""
    command = [*before, sys.executable, WORKER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        stdin, stdout = worker.stdin, worker.stdout
        assert stdin
        assert stdout
        assert stdout.readline() == "open\n"

        async def ask(word: str) -> str:
            stdin.write(f"{word}\n")
            stdin.flush()
            async with asyncio.timeout(30):
                return (await asyncio.to_thread(stdout.readline)).strip()

        yield ask
        stdin.close()


def injecting(fault: str) -> tuple[str, ...]:
    """What stands before a command so that some of its system calls fail."""
    return ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={fault.partition(':')[0]}", "-e", f"inject={fault}")


@pytest.mark.slow
@pytest.mark.needs("strace")
async def test_cr11_after_a_failed_sync_nothing_is_acknowledged_and_the_file_is_opened_anew(path: Path) -> None:
    async with storage.open(path):
        pass
    with working(path, *injecting("fdatasync:error=EIO:when=4..6")) as ask:
        answers = [await ask("put") for _ in range(12)]
        good = {answer for answer in answers if answer.startswith("task_")}
        bad = [answer for answer in answers if not answer.startswith("task_")]
        assert len(bad) in (1, 2, 3)
        assert all(each.startswith("StorageUnavailable") and "the disk reports an error" in each for each in bad)
        assert answers[-1].startswith("task_")
        assert int(await ask("read")) == len(good)
    async with storage.open(path) as store:
        assert store.loss is None
        assert {record.id for record in await store.tasks()} == good
    with tables(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
@pytest.mark.needs("strace")
@pytest.mark.parametrize("error", ["EROFS", "ENOSPC"])
async def test_cr12_a_disk_that_turns_read_only_or_full_refuses_and_is_taken_up_again(path: Path, error: str) -> None:
    async with storage.open(path):
        pass
    with working(path, *injecting(f"pwrite64:error={error}:when=12..40")) as ask:
        answers = [await ask("put") for _ in range(30)]
        good = {answer for answer in answers if answer.startswith("task_")}
        assert 0 < len(good) < 30
        assert {each.partition(":")[0] for each in answers if each not in good} == {"StorageUnavailable"}
        assert answers[-1].startswith("task_")
        assert int(await ask("read")) == len(good)
    async with storage.open(path) as store:
        assert (store.loss, {record.id for record in await store.tasks()}) == (None, good)


async def test_cr10_where_files_cannot_grow_each_way_to_write_is_refused_and_recovers(path: Path) -> None:
    """Needs no right to mount a small disk, and no tracing."""
    with working(path) as ask:
        good = [await ask("put")]
        assert await ask("size 100000") == "set"
        answers = [await ask("put") for _ in range(30)]
        good += [answer for answer in answers if answer.startswith("task_")]
        assert len(good) < 30
        refused = answers[-1], await ask("blob"), await ask("backup")
        assert [each.partition(":")[0] for each in refused] == ["StorageUnavailable"] * 3
        assert int(await ask("read")) == len(good)
        assert await ask("size -1") == "set"
        good.append(await ask("put"))
        assert len(await ask("blob")) == 64
        assert await ask("backup") == f"{len(good)} tasks"
    async with storage.open(path) as store:
        assert (store.loss, {record.id for record in await store.tasks(limit=1000)}) == (None, set(good))
    assert not list((path.parent / "backups").glob(".*"))


async def test_cr12_without_free_descriptors_what_is_open_goes_on_and_the_rest_recovers(path: Path) -> None:
    with working(path) as ask:
        assert (await ask("put")).startswith("task_")
        assert await ask("files 3") == "set"
        assert (await ask("put")).startswith("task_")
        assert (await ask("read")) == "2" or (await ask("read")).startswith("StorageUnavailable")
        assert await ask("files 256") == "set"
        assert await ask("read") == "2"


async def test_cr08_a_file_that_cannot_be_written_can_be_looked_at(path: Path) -> None:
    async with storage.open(path) as store:
        await submit(store)
    names = {each.name for each in path.parent.iterdir()}
    with read_only(path.parent):
        async with storage.open(path) as store:
            assert len(await store.tasks()) == 1
            with pytest.raises(StorageUnavailable, match="can only be looked at"):
                await submit(store)
        assert {each.name for each in path.parent.iterdir()} == names
    async with storage.open(path) as store:
        await submit(store)


async def test_cr12_what_could_only_be_looked_at_is_written_as_soon_as_it_can_be(path: Path) -> None:
    async with storage.open(path) as store:
        await submit(store)
    with read_only(path.parent) as let_write:
        async with storage.open(path) as store:
            with pytest.raises(StorageUnavailable):
                await submit(store)
            let_write()
            await submit(store)
            assert len(await store.tasks()) == 2


@contextmanager
def read_only(folder: Path) -> Iterator[Callable[[], object]]:
    """A folder in which nothing can be written; yields what ends that before the block does."""
    if not ROOT:
        folder.chmod(0o500)
        (folder / "autohands.db").chmod(0o400)
        yield partial(subprocess.run, ["chmod", "-R", "u+rwX", str(folder)], check=True)
        subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=True)
        return
    if subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield partial(subprocess.run, ["mount", "-o", "remount,rw,bind", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
async def test_the_log_stays_short_under_readers_that_never_pause(path: Path) -> None:
    sizes, done = list[int](), asyncio.Event()
    async with storage.open(path) as store:
        record = await submit(store)

        def slow(connection: sqlite3.Connection) -> None:
            connection.execute("SELECT count(*) FROM task").fetchone()
            time.sleep(0.02)  # a snapshot that is held: two of them overlap without a pause

        async def reader() -> None:
            while not done.is_set():
                await store._readers.read(slow)

        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(reader())
            for _ in range(30):
                await store._database.write(partial(bulk, task=record.id))
                sizes.append(log_bytes(path))
            done.set()
    assert max(sizes) > LOG_BYTES
    assert any(after < before for before, after in pairwise(sizes)), sizes


def bulk(tx: Transaction, task: str) -> None:
    """Four megabytes."""
    for _ in range(8):
        tx.connection.execute(
            "INSERT INTO signal(task, topic, payload, created) SELECT seq, 'bulk', zeroblob(500000), 0 FROM task"
            " WHERE id = ?",
            (task,),
        )
