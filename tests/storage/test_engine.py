"""The engine on SQLite: several programs on one file, recovery, families."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from autohands import storage
from autohands.protocols.changes import Cancel, Finish, Park, RecordStep, Redo, Speak
from autohands.protocols.errors import Conflict, Fenced, NotFound, StorageUnavailable
from autohands.protocols.events import TurnStarted
from autohands.protocols.queues import LimitQueues, QueueLimits
from autohands.protocols.records import Step
from autohands.protocols.storage import Lease
from autohands.sdk.identity import now_ms
from autohands.storage import Store
from autohands.storage.engine import LOOK_AGAIN_SECONDS
from autohands.storage.transaction import Transaction
from storage.stores import PATIENCE_SECONDS, leased, serving, soon, submit, tables

DONE = Finish(state="done", reason="done", text="ok")
NONSENSE: Any = "nonsense"


async def finish(lease: Lease) -> None:
    await lease.commit(DONE)


async def state(store: Store, task: str) -> str:
    return (await store.task(task)).state


async def ended(store: Store, *tasks: str) -> None:
    async def all_ended() -> bool:
        return all([(await store.task(task)).finished for task in tasks])

    await soon(all_ended)


async def test_two_programs_on_one_file_run_each_task_once(path: Path) -> None:
    ran: list[str] = []

    async def handler(lease: Lease) -> None:
        ran.append(lease.record.id)
        await lease.commit(RecordStep(step=Step(turn=1, index=1, kind="tool", name="t", status="started")))
        await lease.commit(DONE)

    async with storage.open(path) as one, storage.open(path) as two:
        records = [await submit(one, session=f"s{number % 7}") for number in range(40)]
        async with serving(one, handler, slots=3), serving(two, handler, slots=3):
            records += [await submit(two, session=f"s{number % 7}") for number in range(20)]
            await ended(one, *(record.id for record in records))
        assert sorted(ran) == sorted(record.id for record in records)
        for number in range(7):
            own = [record.id for position, record in enumerate(records[:40]) if position % 7 == number]
            assert [task for task in ran if task in own] == own


async def test_a_task_is_cancelled_from_another_program(path: Path) -> None:
    async with storage.open(path) as here, storage.open(path) as there:
        record = await submit(here)
        async with leased(here, record.id):
            await there.commit(Cancel(task=record.id))
            assert await state(there, record.id) == "running"
            await ended(there, record.id)
        assert await state(here, record.id) == "cancelled"


async def test_words_from_another_program_are_noticed(path: Path) -> None:
    async with storage.open(path) as here, storage.open(path) as there:
        record = await submit(here)
        async with leased(here, record.id) as lease:
            assert not lease.unread
            await there.commit(Speak(session=record.session, text="hello"))

            async def noticed() -> bool:
                return lease.unread

            await soon(noticed)
            assert [word.text for word in await here.words(record.id)] == ["hello"]
            assert not lease.unread


def kill(path: Path, ending: str = "born = 'then'") -> None:
    """Make every executor look as if its process were gone, or its lease over."""
    with tables(path) as connection:
        connection.execute(f"UPDATE executor SET {ending}")


@pytest.mark.parametrize("ending", ["born = 'then'", "pid = 4194304", "boot = 'before'", "lease_until = 1"])
async def test_tasks_of_the_dead_and_the_late_are_taken_over(path: Path, ending: str) -> None:
    async with storage.open(path) as one, storage.open(path) as two:
        record = await submit(one)
        async with leased(one, record.id) as zombie:
            await zombie.commit(event=TurnStarted(turn=1))
            kill(path, ending)

            async def handler(lease: Lease) -> None:
                assert lease.attempt == 2
                await lease.commit(event=TurnStarted(turn=2))
                with pytest.raises(Fenced):
                    await zombie.commit(event=TurnStarted(turn=3))
                await lease.commit(DONE)

            async with serving(two, handler):
                await ended(two, record.id)
        events = [json.loads(line) for line in await two.journal.events(record.id, 1)]
        assert [event.get("turn", event["type"]) for event in events] == [1, 2, "run.finished"]
        with tables(path) as connection:  # one for each claim, one for the takeover
            assert connection.execute("SELECT lease_token FROM task").fetchone() == (3,)


@pytest.mark.parametrize("ending", ["host = 'elsewhere', pid = 4194304", "started = 1"])
async def test_tasks_of_the_living_are_left_alone(path: Path, ending: str) -> None:
    async with storage.open(path) as one, storage.open(path) as two:
        record = await submit(one)
        async with leased(one, record.id) as lease:
            kill(path, ending)
            async with serving(two, finish):
                await ended(two, (await submit(two)).id)
                await lease.commit(event=TurnStarted(turn=1))
            assert await state(two, record.id) == "running"


async def test_who_dies_too_often_is_dead(path: Path) -> None:
    async with storage.open(path) as one, storage.open(path) as two:
        parent = await submit(one)
        record = await submit(one, max_attempts=2, parent=parent.id, session="s")
        next_one = await submit(one, session="s")
        for attempt in (1, 2):
            async with leased(one, record.id) as lease:
                assert lease.attempt == attempt
                kill(path)
                async with serving(two, finish, queues=lambda: ("none",)):

                    async def released() -> bool:
                        return await state(two, record.id) != "running"

                    await soon(released)
        assert await state(two, record.id) == "dead"
        assert await state(two, next_one.id) == "ready"
        last = json.loads((await two.journal.events(record.id))[-1])
        assert (last["type"], last["reason"]) == ("run.finished", "attempts")
        assert (await two.signals(parent.id))[f"child:{record.id}"]["state"] == "dead"
        revived = (await two.commit(Redo(task=record.id)))[0]
        assert revived.state == "blocked"


async def test_parking_and_stopping_are_no_crashes(store: Store) -> None:
    record = await submit(store, max_attempts=1)

    async def handler(lease: Lease) -> None:
        if lease.attempt < 5:
            await lease.commit(Park(reason="timer", waits=("timer:t",), until=now_ms() + 5))
        else:
            await lease.commit(DONE)

    async with serving(store, handler):
        await ended(store, record.id)
    assert (await store.task(record.id)).attempt == 5


async def test_a_living_run_is_not_redone_an_orphan_is(path: Path) -> None:
    async with storage.open(path) as one, storage.open(path) as two:
        record = await submit(one)
        async with leased(one, record.id) as zombie:
            with pytest.raises(Conflict, match="is running"):
                await two.commit(Redo(task=record.id))
            kill(path)
            assert (await two.commit(Redo(task=record.id, queue="mine")))[0].state == "ready"
            with pytest.raises(Fenced):
                await zombie.commit()
        with pytest.raises(NotFound):
            await two.commit(Redo(task="task_none"))


async def test_redo_leaves_a_wait_alone_unless_it_is_over(store: Store) -> None:
    tasks = [(await submit(store)).id for _ in range(2)]

    async def handler(lease: Lease) -> None:
        until = None if lease.record.id == tasks[0] else now_ms() + 30
        await lease.commit(Park(reason="signal", waits=("signal:go",), until=until))

    async with serving(store, handler):

        async def parked() -> bool:
            return {await state(store, task) for task in tasks} == {"waiting"}

        await soon(parked)
    await asyncio.sleep(0.05)
    states = [(await store.commit(Redo(task=task, queue="other")))[0] for task in tasks]
    assert [(record.state, record.task.queue) for record in states] == [("waiting", "other"), ("ready", "other")]


async def test_a_root_is_served_with_its_family_and_its_predecessors_alone(store: Store) -> None:
    predecessor = await submit(store, session="s", queue="another")
    before_child = await submit(store, parent=predecessor.id)
    root = await submit(store, session="s")
    successor = await submit(store, session="s")
    child = await submit(store, parent=root.id, queue="third", priority="low")
    grandchild = await submit(store, parent=child.id)
    stranger = await submit(store, priority="urgent")
    ran: list[str] = []

    async def handler(lease: Lease) -> None:
        ran.append(lease.record.id)
        if lease.record.id == root.id:
            await ended(store, child.id, grandchild.id)
        await lease.commit(DONE)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await store.engine.serve(handler, slots=2, root=root.id)
    assert set(ran) == {each.id for each in (predecessor, before_child, root, child, grandchild)}
    assert ran.index(predecessor.id) < ran.index(root.id)
    assert {await state(store, each.id) for each in (stranger, successor)} == {"ready"}
    with pytest.raises(NotFound):
        await store.engine.serve(handler, slots=1, root="task_none")


async def test_slots_bound_what_runs_at_once_and_queues_what_is_served(store: Store) -> None:
    most, running = 0, 0

    async def handler(lease: Lease) -> None:
        nonlocal most, running
        assert lease.record.task.queue in ("a", "b")
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await lease.commit(DONE)

    records = [await submit(store, queue="ab"[number % 2]) for number in range(10)]
    other = await submit(store, queue="c")
    async with serving(store, handler, slots=3, queues=lambda: ("a", "b")):
        await ended(store, *(record.id for record in records))
    assert most == 3
    assert await state(store, other.id) == "ready"


async def test_a_slot_that_gets_free_is_filled_at_once(store: Store) -> None:
    records = [await submit(store) for _ in range(3)]
    async with serving(store, finish, slots=1), asyncio.timeout(LOOK_AGAIN_SECONDS / 2):
        await ended(store, *(record.id for record in records))


async def test_serving_a_root_ends_with_it(store: Store) -> None:
    record = await submit(store)
    async with asyncio.timeout(LOOK_AGAIN_SECONDS / 2):
        await store.engine.serve(finish, slots=4, root=record.id)


async def test_serving_a_root_ends_when_another_runs_it(store: Store) -> None:
    record = await submit(store, queue="other")
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(lease: Lease) -> None:
        begun.set()
        await release.wait()
        await lease.commit(DONE)

    async with serving(store, slow, queues=lambda: ("other",)), asyncio.timeout(LOOK_AGAIN_SECONDS / 2):
        await begun.wait()
        rooted = asyncio.create_task(store.engine.serve(finish, slots=1, root=record.id))
        await asyncio.sleep(0.05)  # it has looked, and found that another runs it
        release.set()
        await rooted


async def test_a_slot_that_nobody_waits_for_is_no_reason_to_look(store: Store) -> None:
    statements: list[str] = []
    async with serving(store, finish):
        await ended(store, (await submit(store)).id)
        await store._database.write(lambda tx: tx.connection.set_trace_callback(statements.append))
        await ended(store, (await submit(store)).id)
        await store._database.write(lambda tx: tx.connection.set_trace_callback(None))
    assert len([each for each in statements if "FROM executor WHERE id <>" in each]) == 0


async def test_a_cancelled_task_that_parks_is_ended(store: Store) -> None:
    record = await submit(store)

    async def handler(lease: Lease) -> None:
        with pytest.raises(asyncio.CancelledError):
            await store.commit(Cancel(task=record.id))
        await lease.commit(Park(reason="signal", waits=("signal:never",)))

    async with serving(store, handler):
        await ended(store, record.id)
    assert await state(store, record.id) == "cancelled"


async def test_a_task_that_comes_back_to_its_old_executor_runs_once_there(store: Store) -> None:
    record = await submit(store)
    stopped: list[object] = []
    first = asyncio.Event()

    async def handler(lease: Lease) -> None:
        if lease.attempt == 2:
            await asyncio.sleep(0.05)
            assert store.engine.lease(record.id) is lease
            await lease.commit(DONE)
            return
        first.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            stopped.extend(error.args)
            raise

    async with serving(store, handler):
        await first.wait()
        with tables(store._database.path) as other:
            other.execute("UPDATE task SET status = 'ready', lease_token = lease_token + 1, lease_owner = NULL")
        await ended(store, record.id)
    assert stopped == ["lost"]
    assert (await store.task(record.id)).text == "ok"


async def test_cr12_serving_outlives_a_database_that_is_away(path: Path) -> None:
    away, attempts = asyncio.Event(), list[int]()

    def break_connection(tx: Transaction) -> None:
        tx.connection.execute("PRAGMA query_only = ON")
        tx.connection.execute("DELETE FROM meta")

    async def handler(lease: Lease) -> None:
        attempts.append(lease.attempt)
        if lease.attempt == 1:
            await away.wait()
            lease.emit(TurnStarted(turn=1))
        await lease.commit(DONE)

    async with storage.open(path) as store:
        record = await submit(store)
        async with serving(store, handler):

            async def running() -> bool:
                return bool(attempts)

            await soon(running)
            path.rename(path.with_name("moved"))
            with pytest.raises(StorageUnavailable):
                await store._database.write(break_connection)
            away.set()
            with pytest.raises(StorageUnavailable):
                await submit(store)
            store.engine.wake()
            with pytest.raises(StorageUnavailable):
                await submit(store)
            path.with_name("moved").rename(path)
            await ended(store, record.id)
        assert attempts == [1, 2]
        types = [json.loads(line)["type"] for line in await store.journal.events(record.id)]
        assert types == ["task.queued", "turn.started", "task.waiting", "run.finished"]


async def test_a_handler_that_cancels_itself_fails_its_task(store: Store) -> None:
    record = await submit(store)

    async def handler(lease: Lease) -> None:
        raise asyncio.CancelledError

    async with serving(store, handler):
        await ended(store, record.id)
    assert (await store.task(record.id)).error == "the handler cancelled itself"


async def test_serving_leaves_no_trace(path: Path) -> None:
    async with storage.open(path) as store:
        record = await submit(store)
        async with serving(store, finish):
            await ended(store, record.id)
        assert store._database._watchers == 0
        assert store._database._renewal is None
    with tables(path) as connection:
        assert connection.execute("SELECT * FROM executor").fetchall() == []


async def test_leases_are_renewed_by_the_writer_alone(path: Path) -> None:
    async with storage.open(path) as store:
        record = await submit(store)
        async with leased(store, record.id):
            kill(path, "lease_until = 0")
            database = store._database
            database._renewed -= 60
            database._nudge()

            async def renewed() -> bool:
                with tables(path) as connection:
                    return bool(connection.execute("SELECT lease_until FROM executor").fetchone()[0] > now_ms())

            await soon(renewed)


@pytest.mark.parametrize("ending", ["crashes", "commits", "parks", "stops"])
async def test_what_sqlite_refuses_fails_its_task_and_serving_goes_on(store: Store, ending: str) -> None:
    bad, good = await submit(store), await submit(store)
    begun = asyncio.Event()

    async def handler(lease: Lease) -> None:
        if lease.record.id == good.id:
            await begun.wait()
            await lease.commit(DONE)
            return
        lease.note(Step(turn=1, index=0, kind="tool", name="t", status=NONSENSE))
        begun.set()
        if ending == "crashes":
            raise ValueError("broken")
        if ending == "parks":
            await lease.commit(Park(reason="signal", waits=("signal:never",)))
        if ending == "commits":
            await lease.commit(DONE)
        await asyncio.Event().wait()

    async with serving(store, handler) as service:
        await ended(store, good.id, *(() if ending == "stops" else (bad.id,)))
        assert not service.done()
    record = await store.task(bad.id)
    if ending == "stops":
        assert record.state == "ready"
    else:
        assert (record.state, record.reason) == ("failed", "failed")
        assert "CHECK constraint" in (record.error or "")
    assert await store.steps(bad.id) == []


async def test_a_refused_flush_is_not_tried_over_and_over(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        commits: list[str] = []
        await store._database.write(lambda tx: tx.connection.set_trace_callback(commits.append))
        lease.note(Step(turn=1, index=0, kind="tool", name="t", status=NONSENSE))
        await asyncio.sleep(0.2)
        await store._database.write(lambda tx: tx.connection.set_trace_callback(None))
        assert len([each for each in commits if "nonsense" in each]) <= 2
        with pytest.raises(sqlite3.IntegrityError):
            await lease.commit()


async def test_a_task_that_was_taken_over_elsewhere_is_stopped_here(path: Path) -> None:
    stopped: list[object] = []
    running = asyncio.Event()

    async def zombie(lease: Lease) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            stopped.extend(error.args)
            raise

    async with storage.open(path) as one, storage.open(path) as two:
        record = await submit(one)
        async with serving(one, zombie):
            await running.wait()
            kill(path, "lease_until = 1")
            async with serving(two, finish):
                await ended(two, record.id)

                async def noticed() -> bool:
                    return bool(stopped)

                await soon(noticed)
    assert stopped == ["lost"]


async def test_lo06_slow_tasks_hold_no_other_queue_up(store: Store) -> None:
    slow = [await submit(store, queue="background") for _ in range(10)]
    release = asyncio.Event()

    async def handler(lease: Lease) -> None:
        if lease.record.task.queue == "background":
            await release.wait()
        await lease.commit(DONE)

    await store.commit(LimitQueues(limits=(QueueLimits(name="background", concurrency=2),)))
    async with serving(store, handler, slots=3, queues=lambda: ("background", "default")):
        for _ in range(5):
            await ended(store, (await submit(store)).id)
        states = [await state(store, record.id) for record in slow]
        assert (states.count("running"), states.count("ready")) == (2, 8)
        release.set()
        await ended(store, *(record.id for record in slow))
