"""What is told of a group after its commit: each unit for itself, whatever becomes of the others."""

import asyncio
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from autohands.protocols.changes import Enqueue, Finish
from autohands.protocols.errors import StorageUnavailable
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task
from autohands.storage import Store
from autohands.storage.database import Database
from autohands.storage.transaction import Transaction
from storage.stores import serving, submit, tables

DONE = Finish(state="done", reason="done")

THREE_TASKS = """
import asyncio, sys
from pathlib import Path
from autohands import storage
from autohands.protocols.changes import Enqueue, Finish
from autohands.protocols.task import END_STATES, Task

async def handler(lease):
    await lease.commit(Finish(state="done", reason="done"))

async def main():
    async with storage.open(Path(sys.argv[1])) as store, asyncio.timeout(20):
        serving = asyncio.create_task(store.engine.serve(handler, slots=3))
        made = await asyncio.gather(*(store.commit(Enqueue(task=Task(prompt=str(n)))) for n in range(3)))
        with store.listen("ended") as bell:
            while len(ended := await store.tasks(states=END_STATES)) < 3:
                await bell.wait()
        print(*sorted(record.state for record in ended), serving.done())
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("database.landing:2:raise", "done done done False"),
        ("lease.landed:1:raise", "done done done False"),
        ("engine.claimed:1:raise", "done done failed False"),
    ],
)
def test_lo05_a_fault_on_the_way_back_concerns_one_unit_alone(path: Path, place: str, said: str) -> None:
    environment = {**os.environ, "AUTOHANDS_FAILPOINT": place}
    command = [sys.executable, "-c", THREE_TASKS, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40, check=False)
    assert done.stdout.split() == said.split(), done.stderr


async def test_lo05_whoever_is_told_last_is_told_although_the_first_one_failed(path: Path) -> None:
    held, told = threading.Event(), list[Transaction]()

    def committed(tx: Transaction) -> None:
        told.append(tx)
        if len(told) == 2:
            raise RuntimeError("nobody can be told of this")

    database = Database(path, committed, lambda: None)
    await database.open()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    try:
        async with asyncio.timeout(20):
            blocked = asyncio.create_task(database.write(lambda _tx: held.wait(20)))
            writes = [asyncio.create_task(database.write(partial(echo, word=word))) for word in ("a", "b", "c")]
            await asyncio.sleep(0)
            held.set()
            assert await blocked
            assert await asyncio.gather(*writes) == ["a", "b", "c"]
    finally:
        await database.close()
    assert len(told) == 4


def echo(_tx: Transaction, word: str) -> str:
    return word


async def test_a_task_is_claimed_in_the_transaction_that_accepts_it(store: Store, path: Path) -> None:
    statements, began = list[str](), asyncio.Event()

    async def handler(lease: Lease) -> None:
        began.set()
        await lease.commit(DONE)

    async with serving(store, handler):
        await store._database.write(lambda tx: tx.connection.set_trace_callback(statements.append))
        await submit(store)
        await began.wait()
        await store._database.write(lambda tx: tx.connection.set_trace_callback(None))
    accepted = next(place for place, each in enumerate(statements) if each.startswith("INSERT INTO task"))
    claimed = next(place for place, each in enumerate(statements) if "SET status = 'running'" in each)
    assert accepted < claimed
    assert "COMMIT" not in statements[accepted:claimed]


async def test_what_is_rolled_back_is_not_claimed_and_keeps_no_slot(store: Store, path: Path) -> None:
    entered, held, begun = threading.Event(), threading.Event(), list[str]()

    async def handler(lease: Lease) -> None:
        begun.append(lease.record.task.prompt)
        await lease.commit(DONE)

    async with serving(store, handler, slots=1):
        blocked = asyncio.create_task(store._database.write(partial(hold, entered=entered, held=held)))
        assert await asyncio.to_thread(entered.wait, 20)
        lost = asyncio.create_task(store.commit(Enqueue(task=Task(prompt="lost"))))
        broken = asyncio.create_task(store._database.write(refused_at_commit))
        await asyncio.sleep(0)
        held.set()
        await blocked
        outcomes = await asyncio.gather(lost, broken, return_exceptions=True)
        assert [type(each) for each in outcomes] == [StorageUnavailable, StorageUnavailable]
        with store.listen("ended") as bell:
            await submit(store, "kept")
            await bell.wait()
    assert begun == ["kept"]
    with tables(path) as connection:
        assert connection.execute("SELECT count(*) FROM task").fetchone() == (1,)


def hold(_tx: Transaction, entered: threading.Event, held: threading.Event) -> None:
    """Whatever comes meanwhile is one group."""
    entered.set()
    held.wait(20)


def refused_at_commit(tx: Transaction) -> None:
    """A step of a task that there is not: noticed when all else is done."""
    tx.connection.execute("PRAGMA defer_foreign_keys = ON")
    tx.connection.execute("INSERT INTO event(task, seq, type, at, body) VALUES(4711, 1, 'x', 1, x'00')")


async def test_no_more_tasks_run_than_there_are_slots_however_they_come(store: Store) -> None:
    running, most, ended = 0, 0, 0

    async def handler(lease: Lease) -> None:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await lease.commit()
        running -= 1
        ended += 1
        await lease.commit(DONE)

    async with serving(store, handler, slots=3):
        with store.listen("ended") as bell:
            await asyncio.gather(*(submit(store) for _ in range(40)))
            while ended < 40:
                await bell.wait()
    assert most == 3
