"""CR02: what programs that are gone have left is taken up, and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Enqueue, Finish
from autohands.protocols.storage import Lease
from autohands.protocols.task import OWN_QUEUES, Task
from autohands.runloop.recovery import Recovery
from autohands.storage import Store

OWN = f"{OWN_QUEUES}0000"
HOLD = """
import asyncio, sys
from pathlib import Path
from autohands import storage

async def handler(lease):
    print(lease.record.id, flush=True)
    await asyncio.Event().wait()

async def main():
    async with storage.open(Path(sys.argv[1])) as store:
        await store.engine.serve(handler, slots=4, queues=lambda: sys.argv[2:])

asyncio.run(main())
"""


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    async with storage.open(home / "autohands.db") as opened:
        yield opened


async def killed(home: Path, *queues: str, tasks: int = 1) -> None:
    """A program that has begun so many tasks of these queues, and is gone."""
    command = [sys.executable, "-c", HOLD, str(home / "autohands.db"), *queues]
    running = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert running.stdout
    for _ in range(tasks):
        assert await asyncio.to_thread(running.stdout.readline)
    running.kill()
    running.wait()
    running.stdout.close()


async def end(lease: Lease) -> None:
    await lease.commit(Finish(state="done", reason="done"))


async def test_cr02_what_lay_in_the_own_queue_of_a_program_that_is_gone_is_moved_and_done(
    store: Store, home: Path
) -> None:
    (left,) = await store.commit(Enqueue(task=Task(prompt="x", queue=OWN)))
    await killed(home, OWN)
    recovery = Recovery(store, "default", every_seconds=0.1)
    assert await recovery.look() == []  # the engine takes it away first, and counts that
    async with asyncio.timeout(20):
        both = asyncio.gather(store.engine.serve(end, slots=2), recovery.run())
        async for _ in store.journal.follow(left.id):
            pass
        both.cancel()
    record = await store.task(left.id)
    assert (record.state, record.task.queue, record.crashes) == ("done", "default", 1)


async def test_what_lies_in_a_queue_that_many_share_stays_there(store: Store, home: Path) -> None:
    (left,) = await store.commit(Enqueue(task=Task(prompt="x", queue="background")))
    await killed(home, "background")
    assert await store.interrupted() == [left.id]
    assert await Recovery(store, "default").look() == []
    record = await store.task(left.id)
    assert (record.state, record.task.queue) == ("running", "background")


async def test_the_own_queue_of_a_program_that_lives_is_left_alone(store: Store) -> None:
    """It is ready, and its program has not had two seconds to take it."""
    (mine,) = await store.commit(Enqueue(task=Task(prompt="x", queue=OWN)))
    recovery = Recovery(store, "default")
    assert await recovery.look() == []
    with closing(sqlite3.connect(store._path)) as connection:
        connection.execute("UPDATE task SET updated = updated - 10000, run_at = NULL")
        connection.commit()
    assert await recovery.look() == [mine.id]
    assert await recovery.look() == []
    assert (await store.task(mine.id)).task.queue == "default"
