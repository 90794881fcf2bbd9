"""The run loop over a real store: it hands tasks on, stops, drains, and survives what its parts raise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Finish
from autohands.protocols.errors import Conflict
from autohands.protocols.loop import DEFAULT, MODES, Middleware, Phase
from autohands.protocols.storage import Handler, Lease
from autohands.protocols.task import Task
from autohands.runloop.loop import RunLoop
from autohands.runloop.middleware import surrounded
from autohands.runloop.queue import TaskQueue
from autohands.runloop.timers import Timer
from autohands.storage import Store
from runloop.loops import Inbox, NoWork, Phases, a_loop, running


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    """A database of its own."""
    async with storage.open(home / "autohands.db") as opened:
        yield opened


async def finish(lease: Lease) -> None:
    await lease.commit(Finish(state="done", reason="done"))


async def ended(store: Store, task: str) -> None:
    """Wait until a task has ended."""
    async for _ in store.journal.follow(task):
        pass


async def test_a_task_is_handed_to_the_handler_while_it_counts_as_running(store: Store) -> None:
    seen: list[frozenset[str]] = []

    async def handler(lease: Lease) -> None:
        seen.append(loop.running)
        await finish(lease)

    queue = TaskQueue(store)
    loop = RunLoop(store.engine, handler, queue, slots=1, modes={DEFAULT: ("default", "other")})
    records = [await queue.submit(Task(prompt="x", queue=name)) for name in ("default", "other", "nobody's")]
    async with running(loop):
        for record in records[:2]:
            await ended(store, record.id)
    assert seen == [frozenset({records[0].id}), frozenset({records[1].id})]
    assert loop.running == frozenset()
    assert (await store.task(records[2].id)).state == "ready"


async def test_a_task_that_raises_ends_alone(store: Store) -> None:
    async def handler(lease: Lease) -> None:
        if lease.record.task.prompt == "bad":
            raise RuntimeError("broken")
        await finish(lease)

    queue = TaskQueue(store)
    loop = RunLoop(store.engine, handler, queue, slots=4)
    async with running(loop) as task:
        for prompt, state in (("bad", "failed"), ("good", "done")):
            record = await queue.submit(Task(prompt=prompt))
            await ended(store, record.id)
            assert (await store.task(record.id)).state == state
        assert not task.done()


async def test_all_that_raises_at_once_ends_nothing(store: Store) -> None:
    class Broken:
        modes = MODES

        async def tasks(self) -> AsyncIterator[Task]:
            for _ in range(0):
                yield Task(prompt="never")
            raise RuntimeError("source")

    async def broken() -> None:
        raise RuntimeError("broken")

    seen, queue = Phases(), TaskQueue(store)
    loop = RunLoop(store.engine, finish, queue, slots=4)
    loop.add_source("source", Broken())
    loop.add_service("service", broken)
    loop.add_timer(Timer(name="timer", fire=broken, after_seconds=0, every_seconds=0.01))
    loop.add_observer(seen.observer)
    async with running(loop):
        record = await queue.submit(Task(prompt="x"))
        await ended(store, record.id)
        await seen.until(Phase.BEFORE_SOURCES, 5)
    failures = {each.name: each.failures for each in loop.status()}
    assert failures["phases"] == 0
    assert all(failures[name] >= 1 for name in ("source", "service", "timer"))


async def test_what_observes_sees_a_task_begin_and_end(store: Store) -> None:
    seen = Phases(phases=Phase.AFTER_WAITING)
    at_work: list[bool] = []

    async def handler(lease: Lease) -> None:
        await seen.until(Phase.AFTER_WAITING, seen.noted.count(Phase.AFTER_WAITING) + 1)
        at_work.append(loop.busy(DEFAULT))
        await finish(lease)

    queue = TaskQueue(store)
    loop = RunLoop(store.engine, handler, queue, slots=4)
    loop.add_observer(seen.observer)
    async with running(loop):
        record = await queue.submit(Task(prompt="x"))
        await ended(store, record.id)
    assert (at_work, loop.busy(DEFAULT)) == ([True], False)


async def test_middleware_stands_around_the_handling(store: Store) -> None:
    seen = Phases()

    def note(name: str) -> Middleware:
        async def handle(lease: Lease, handler: Handler) -> None:
            seen.note(f"{name} before")
            await handler(lease)
            seen.note(f"{name} after")

        return Middleware(name=name, handle=handle, order=1 if name == "inner" else 0)

    async def refuse(lease: Lease, handler: Handler) -> None:
        raise Conflict("not today")

    present = [note("inner"), Middleware(name="only for submitting"), note("outer")]
    queue = TaskQueue(store)
    loop = RunLoop(store.engine, surrounded(finish, lambda: present), queue, slots=1)
    async with running(loop):
        record = await queue.submit(Task(prompt="x"))
        await seen.until("outer after")
        assert seen.noted == ["outer before", "inner before", "inner after", "outer after"]
        present[:] = [Middleware(name="refuses", handle=refuse)]
        refused = await queue.submit(Task(prompt="x"))
        await ended(store, refused.id)
    record = await store.task(refused.id)
    assert (record.state, "not today" in str(record.error)) == ("failed", True)


@pytest.mark.parametrize("in_time", [True, False])
async def test_draining_begins_nothing_and_waits_for_what_runs_but_not_for_ever(store: Store, in_time: bool) -> None:
    begun, go_on, inbox = asyncio.Event(), asyncio.Event(), Inbox()

    async def handler(lease: Lease) -> None:
        begun.set()
        await go_on.wait()
        await finish(lease)

    class Heard:
        modes = MODES

        async def tasks(self) -> AsyncIterator[Task]:
            await go_on.wait()
            yield Task(prompt="too late")

    queue = TaskQueue(store)
    loop = RunLoop(store.engine, handler, inbox, slots=4)
    loop.add_source("s", Heard())
    first = await queue.submit(Task(prompt="runs"))
    async with running(loop) as serving:
        await begun.wait()
        draining = asyncio.create_task(loop.drain(20 if in_time else 0.05))
        await asyncio.sleep(0)
        second = await queue.submit(Task(prompt="comes too late"))
        if in_time:
            go_on.set()
        assert await draining is in_time
        await serving
    assert (await store.task(first.id)).state == ("done" if in_time else "ready")
    assert ((await store.task(second.id)).state, inbox.tasks) == ("ready", [])


async def test_draining_ends_at_once_where_nothing_runs() -> None:
    loop = a_loop()
    fired: list[str] = []

    async def fire() -> None:
        fired.append("fired")

    async with running(loop) as serving:
        await asyncio.sleep(0)
        draining = asyncio.create_task(loop.drain(3600))
        await asyncio.sleep(0)
        loop.add_timer(Timer(name="t", fire=fire, after_seconds=0))
        assert await draining
        await serving
    assert fired == []


async def test_it_runs_once_at_a_time_and_can_be_run_again() -> None:
    loop, seen = a_loop(), Phases(phases=Phase.ENTRY | Phase.EXIT)
    loop.add_observer(seen.observer)
    for _ in range(2):
        async with running(loop):
            await asyncio.sleep(0)
            with pytest.raises(Conflict, match="runs already"):
                await loop.run()
    assert seen.noted == [Phase.ENTRY, Phase.EXIT] * 2


async def test_stopped_before_it_runs_it_ends_at_once() -> None:
    loop = a_loop()
    loop.stop()
    async with asyncio.timeout(10):
        await loop.run()


async def test_what_was_added_before_it_ran_begins_with_it_and_is_cancelled_with_it() -> None:
    noted = Phases()

    async def serve() -> None:
        noted.note("begins")
        try:
            await asyncio.Event().wait()
        finally:
            noted.note("ends")

    loop = a_loop()
    loop.add_service("s", serve)
    for _ in range(2):
        async with running(loop):
            await noted.until("begins", noted.noted.count("begins") + 1)
    assert noted.noted == ["begins", "ends"] * 2


async def test_cancelled_it_tells_of_its_exit() -> None:
    loop, seen = a_loop(), Phases()
    loop.add_observer(seen.observer)
    async with asyncio.timeout(10):
        task = asyncio.create_task(loop.run())
        await seen.asleep()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen.noted[-1] == Phase.EXIT


async def test_an_engine_that_fails_ends_it_with_that_error() -> None:
    class Broken(NoWork):
        async def serve(self, *args: object, **options: object) -> None:
            raise ZeroDivisionError

    async with asyncio.timeout(10):
        with pytest.raises(ZeroDivisionError):
            await a_loop(Broken(), modes={DEFAULT: ("default",)}).run()


async def test_it_takes_no_turn_while_nothing_happens_and_forgets_what_is_over() -> None:
    loop, seen = a_loop(), Phases()
    loop.add_observer(seen.observer)
    async with running(loop):
        await seen.asleep()
        for _ in range(200):
            loop.add_timer(Timer(name="t", fire=asyncio.Event().wait, after_seconds=3600))
            loop.remove("t")
        seen.note("-- added and removed")
        await seen.asleep()
        turns = seen.noted.count(Phase.BEFORE_TIMERS)
        for _ in range(100):
            await asyncio.sleep(0)
        assert seen.noted.count(Phase.BEFORE_TIMERS) == turns
        assert [each.name for each in loop.status()] == ["phases"]
        assert len(asyncio.all_tasks()) <= 5  # this one, the loop, an executor for each mode
