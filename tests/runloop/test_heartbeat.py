"""The heartbeat, over a real store: at intervals, in one session, never two at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Finish
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task
from autohands.runloop.heartbeat import Heartbeat
from autohands.runloop.loop import RunLoop
from autohands.runloop.queue import TaskQueue
from autohands.storage import Store
from autohands.testing.clock import FakeClock
from runloop.loops import Phases, clock_of, running


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    """A database of its own."""
    async with storage.open(home / "autohands.db") as opened:
        yield opened


async def test_one_is_left_out_while_the_former_has_not_ended(store: Store) -> None:
    queue = TaskQueue(store)
    beat = Heartbeat(queue, store, Task(prompt="Look around"))
    first = await beat.beat()
    assert first is not None
    assert await beat.beat() is None
    again = Heartbeat(queue, store, Task(prompt="Look around"))  # another program, later
    assert await again.beat() is None
    await queue.submit(Task(prompt="something else"))
    record = await store.task(first)
    assert (record.task.source, len(await store.tasks(session=record.session))) == ("heartbeat", 1)


async def test_it_beats_at_its_interval_and_the_beats_share_a_session(store: Store) -> None:
    clock, seen = FakeClock(0), Phases()

    async def handler(lease: Lease) -> None:
        seen.note("begins")
        await lease.commit(Finish(state="done", reason="done"))

    queue = TaskQueue(store)
    loop = RunLoop(store.engine, handler, queue, slots=4, clock=clock_of(clock))
    loop.add_observer(seen.observer)
    loop.add_timer(Heartbeat(queue, store, Task(prompt="Look around", session="pulse")).timer(60))
    async with running(loop):
        await seen.asleep()
        await clock.advance(59)
        assert await store.tasks() == []
        await clock.advance(7)
        await seen.until("begins")
        (first,) = await store.tasks()
        async for _ in store.journal.follow(first.id):
            pass
        seen.note("-- ended")
        loop.wake_up()
        await seen.asleep()
        await clock.advance(60)
        await seen.until("begins", 2)
        tasks = await store.tasks()
    assert len({task.session for task in tasks}) == 1
    assert len(tasks) == 2
