"""The limits of queues on SQLite: kept by all programs together, counted whoever moves a task."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from autohands import storage
from autohands.protocols.changes import Cancel, Finish, ForgetSession, Park, Pause, RecordStep, Redo
from autohands.protocols.events import TurnStarted
from autohands.protocols.queues import LimitQueues, QueueLimits
from autohands.protocols.records import Step
from autohands.protocols.storage import Lease
from autohands.sdk.identity import now_ms
from autohands.storage import Store
from autohands.storage.migrations import migrate
from autohands.storage.schema import MIGRATIONS
from autohands.testing.contracts.durable import Durable
from autohands.testing.contracts.queues import QueuesContract
from storage.stores import leased, serving, soon, submit, tables

DONE = Finish(state="done", reason="done")
COUNTED = "SELECT queue, status, count(*) FROM task WHERE ended IS NULL GROUP BY 1, 2 ORDER BY 1, 2"
TALLY = "SELECT queue, status, n FROM tally ORDER BY 1, 2"


@pytest.fixture
def durable(store: Store) -> Durable:
    return Durable(store, store.journal, store.engine)


class TestQueues(QueuesContract):
    pass


def tallied(path: Path) -> list[tuple[str, str, int]]:
    """The tally, which is what counting gives."""
    with tables(path) as connection:
        counted = connection.execute(COUNTED).fetchall()
        assert connection.execute(TALLY).fetchall() == counted
    return counted


async def test_the_tally_follows_every_change(store: Store) -> None:
    path = store._database.path
    records = [await submit(store, session="s", queue="a") for _ in range(3)]
    later = await submit(store, queue="a", not_before=now_ms() + 60_000)
    assert tallied(path) == [("a", "blocked", 2), ("a", "delayed", 1), ("a", "ready", 1)]
    async with leased(store, records[0].id) as lease:
        assert ("a", "running", 1) in tallied(path)
        await lease.commit(Park(reason="signal", waits=("signal:go",)))
        assert ("a", "waiting", 1) in tallied(path)
        await store.commit(Pause(task=records[0].id))
        assert ("a", "paused", 1) in tallied(path)
        await store.commit(Cancel(task=records[0].id))
        assert ("a", "ready", 1) in tallied(path)
    await store.commit(Redo(task=records[1].id, queue="b"))
    assert ("b", "ready", 1) in tallied(path)
    for record in (*records[1:], later):
        await store.commit(Cancel(task=record.id))
    assert tallied(path) == []
    await store.commit(ForgetSession(session=records[0].session))
    assert tallied(path) == []
    failed = await submit(store, queue="c")
    with tables(path) as connection:
        connection.execute("UPDATE task SET status = 'failed', ended = 1 WHERE id = ?", (failed.id,))
    assert tallied(path) == []
    await store.commit(Redo(task=failed.id))
    assert tallied(path) == [("c", "ready", 1)]
    with tables(path) as connection:
        connection.execute("DELETE FROM task WHERE id = ?", (failed.id,))
    assert tallied(path) == []


def test_an_older_file_is_counted_when_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, path, MIGRATIONS[:1])
    connection.execute("INSERT INTO session VALUES('s', 'owner', 's', NULL, '', '', NULL, 0, 0)")
    connection.execute(
        "INSERT INTO task(id, session, principal, source, queue, kind, agent, labels, root, request, rank, status,"
        " max_attempts, created, updated) VALUES('t', 's', 'owner', 'api', 'a', 'agent', '', X'', 't', X'', -599000,"
        " 'ready', 5, 1000, 1000)"
    )
    migrate(connection, path)
    assert connection.execute(TALLY).fetchall() == [("a", "ready", 1)]
    assert connection.execute("SELECT ahead FROM task").fetchone() == (600_000,)
    connection.close()


async def test_two_programs_keep_one_limit_together(path: Path) -> None:
    running, most = 0, 0

    async def handler(lease: Lease) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await lease.commit(DONE)

    async with storage.open(path) as one, storage.open(path) as two:
        await one.commit(LimitQueues(limits=(QueueLimits(name="default", concurrency=2),)))
        records = [await submit(one) for _ in range(12)]
        async with serving(one, handler, slots=4), serving(two, handler, slots=4):

            async def all_ended() -> bool:
                return all([(await one.task(record.id)).finished for record in records])

            await soon(all_ended)
    assert most == 2


async def test_starts_of_long_ago_are_forgotten(store: Store) -> None:
    await store.commit(LimitQueues(limits=(QueueLimits(name="default", rate=2, period_seconds=0.05),)))
    records = [await submit(store) for _ in range(8)]

    async def handler(lease: Lease) -> None:
        await lease.commit(DONE)

    async with serving(store, handler):

        async def all_ended() -> bool:
            return all([(await store.task(record.id)).finished for record in records])

        await soon(all_ended)
    with tables(store._database.path) as connection:
        kept = connection.execute("SELECT count(*), sum(n) FROM rate").fetchone()
    assert kept[1] <= 4
    await store.commit(LimitQueues(limits=()))
    with tables(store._database.path) as connection:
        assert connection.execute("SELECT * FROM rate").fetchall() == []


async def test_what_is_taken_over_keeps_its_place(path: Path) -> None:
    async with storage.open(path) as one, storage.open(path) as two:
        first, second = await submit(one), await submit(one)
        async with leased(one, first.id):
            with tables(path) as connection:
                connection.execute("UPDATE executor SET born = 'then'")
            ran: list[str] = []

            async def handler(lease: Lease) -> None:
                ran.append(lease.record.id)
                await lease.commit(DONE)

            async with serving(two, handler, slots=1):

                async def ended() -> bool:
                    return len(ran) == 2

                await soon(ended)
        assert ran == [first.id, second.id]


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_ti04_starts_counted_before_the_clock_was_set_hold_nothing_back(store: Store, seconds: int) -> None:
    await store.commit(LimitQueues(limits=(QueueLimits(name="default", rate=2, period_seconds=60),)))
    with tables(store._database.path) as connection:
        for at in (now_ms() + seconds * 1000, now_ms() + seconds * 1000 + 1):
            connection.execute("INSERT INTO rate VALUES('default', ?, 1)", (at,))
    for record in [await submit(store), await submit(store)]:
        await store.engine.serve(ended, slots=1, root=record.id)
    with tables(store._database.path) as connection:
        assert connection.execute("SELECT sum(n) FROM rate").fetchone() == (2,)
    held = await submit(store)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await store.engine.serve(ended, slots=1, root=held.id)


async def ended(lease: Lease) -> None:
    await lease.commit(DONE)


async def test_a_turn_costs_the_tally_nothing(store: Store) -> None:
    """Only a task that goes from one state to another is counted anew."""

    async def changes() -> int:
        number: int = await store._database.write(lambda tx: tx.connection.total_changes)
        return number

    record = await submit(store)
    async with leased(store, record.id) as lease:
        before = await changes()
        step = Step(turn=1, index=0, kind="model", name="m", status="done", output=b"{}")
        await lease.commit(RecordStep(step=step), event=TurnStarted(turn=1))
        after = await changes()
        assert after - before == 3  # the step, the event, the number of commits
        await lease.commit(Park(reason="signal", waits=("signal:go",)))
        assert await changes() - after == 4  # the task, the number of commits, two counts


async def test_a_limit_that_is_raised_lets_those_it_held_back_start_at_once(store: Store) -> None:
    one = QueueLimits(name="default", concurrency=1)
    await store.commit(LimitQueues(limits=(one,)))
    records = [await submit(store), await submit(store)]
    both = asyncio.Event()
    running: set[str] = set()

    async def handler(lease: Lease) -> None:
        running.add(lease.record.id)
        if len(running) == 2:
            both.set()
        await both.wait()
        await lease.commit(DONE)

    async with serving(store, handler):

        async def one_runs() -> bool:
            return len(running) == 1

        await soon(one_runs)
        await store.commit(LimitQueues(limits=(replace(one, concurrency=2),)))
        async with asyncio.timeout(5):  # half of what it would take without being told
            await both.wait()
    assert running == {record.id for record in records}
