"""Modes: one at a time; background work begins when there is no other, and never in its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Finish
from autohands.protocols.errors import BadRequest, NotFound
from autohands.protocols.loop import BACKGROUND, DEFAULT
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task
from autohands.runloop.loop import RunLoop
from autohands.runloop.modes import SHARED, Idle, Modes
from autohands.runloop.queue import TaskQueue
from autohands.storage import Store
from autohands.testing.clock import FakeClock
from runloop.loops import NoWork, Phases, a_loop, clock_of, running


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    """A database of its own."""
    async with storage.open(home / "autohands.db") as opened:
        yield opened


def test_a_mode_serves_its_queues_and_each_queue_has_one_home() -> None:
    modes = Modes({"day": ("a", "b"), "night": ("b", "c")})
    assert modes.brought == {"day": ("a", "b"), "night": ("c",)}
    assert (modes.served("day"), modes.served("night")) == (("a", "b"), ())
    assert modes.enter("night")
    assert not modes.enter("night")
    assert (modes.served("day"), modes.served("night")) == (("b",), ("c",))
    modes.closed = True
    assert (modes.served("day"), modes.served("night")) == ((), ())


def test_a_mode_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="no mode 'noon'; there are default, background"):
        Modes(SHARED).enter("noon")
    with pytest.raises(BadRequest, match="needs a mode"):
        Modes({})


async def test_who_waits_for_a_mode_hears_of_it_however_often_it_changes() -> None:
    modes, heard = Modes(SHARED), 0

    async def wait() -> None:
        nonlocal heard
        for _ in range(100):
            await modes.among((BACKGROUND,))
            heard += 1
            await modes.among((DEFAULT,))

    async with asyncio.timeout(10):
        waiting = asyncio.create_task(wait())
        while not waiting.done():
            modes.enter(BACKGROUND if modes.present == DEFAULT else DEFAULT)
            for _ in range(3):
                await asyncio.sleep(0)
    assert heard == 100


async def test_entering_a_mode_makes_the_engine_look_at_its_queues() -> None:
    engine = NoWork()
    loop = a_loop(engine, slots=8)
    async with running(loop):
        await engine.called(2)
        assert (engine.served, engine.slots) == ([("default",), ()], [8, 2])
        loop.enter(BACKGROUND)
        assert (engine.served, engine.wakes, loop.mode) == ([("default",), ("background",)], 1, BACKGROUND)
        loop.enter(BACKGROUND)
        assert engine.wakes == 1


async def test_work_of_another_mode_waits_for_it(store: Store) -> None:
    async def handler(lease: Lease) -> None:
        order.append(lease.record.task.queue)
        await lease.commit(Finish(state="done", reason="done"))

    order: list[str] = []
    queue = TaskQueue(store)
    loop = RunLoop(store.engine, handler, queue, slots=4, modes={DEFAULT: ("default",), BACKGROUND: ("background",)})
    async with running(loop):
        records = [await queue.submit(Task(prompt="x", queue=name)) for name in ("background", "default")]
        async for _ in store.journal.follow(records[1].id):
            pass
        assert order == ["default"]
        loop.enter(BACKGROUND)
        async for _ in store.journal.follow(records[0].id):
            pass
        waiting = await queue.submit(Task(prompt="x"))
    assert (order, (await store.task(waiting.id)).state) == (["default", "background"], "ready")


async def test_lo06_background_work_waits_for_a_quiet_moment_and_is_never_in_the_way(store: Store) -> None:
    """One slot for each: default work begins while background work holds its own, and no other begins meanwhile."""
    clock, seen = FakeClock(0), Phases()
    begun: asyncio.Queue[Lease] = asyncio.Queue(100)
    done: dict[str, asyncio.Event] = {}

    async def handler(lease: Lease) -> None:
        done[lease.record.task.prompt] = asyncio.Event()
        begun.put_nowait(lease)
        await done[lease.record.task.prompt].wait()
        await lease.commit(Finish(state="done", reason="done"))

    async def prompt() -> str:
        return (await begun.get()).record.task.prompt

    queue = TaskQueue(store)
    loop = RunLoop(store.engine, handler, queue, slots=1, clock=clock_of(clock))
    loop.add_observer(Idle(loop, quiet_seconds=5).observer)
    loop.add_observer(seen.observer)
    for number in range(3):
        await queue.submit(Task(prompt=f"back {number}", queue="background", priority="urgent"))
    async with running(loop):
        await seen.asleep()
        await clock.advance(4.9)
        assert (loop.mode, begun.empty()) == (DEFAULT, True)
        await clock.advance(0.1)
        assert await prompt() == "back 0"
        first = await queue.submit(Task(prompt="front 0"))
        second = await queue.submit(Task(prompt="front 1"))
        assert await prompt() == "front 0"
        await until_mode(loop, DEFAULT, seen)
        done["back 0"].set()
        done["front 0"].set()
        assert await prompt() == "front 1"  # and not "back 1", which has waited for longer
        done["front 1"].set()
        for record in (first, second):
            async for _ in store.journal.follow(record.id):
                pass
        await until_idle(loop, seen)
        assert (loop.mode, begun.empty()) == (DEFAULT, True)
        await clock.advance(5)
        for number in (1, 2):
            assert await prompt() == f"back {number}"
            done[f"back {number}"].set()


async def until_mode(loop: RunLoop, mode: str, seen: Phases) -> None:
    while loop.mode != mode:
        seen.noted.append("-- wait")
        await seen.asleep()


async def until_idle(loop: RunLoop, seen: Phases) -> None:
    while loop.busy(DEFAULT):
        await asyncio.sleep(0)
    seen.noted.append("-- wait")
    loop.wake_up()
    await seen.asleep()


async def test_going_to_and_fro_loses_no_task(store: Store) -> None:
    async def handler(lease: Lease) -> None:
        await lease.commit(Finish(state="done", reason="done"))

    queue = TaskQueue(store)
    loop = RunLoop(store.engine, handler, queue, slots=4)
    async with running(loop):
        records = []
        for number in range(200):
            records.append(await queue.submit(Task(prompt="x", queue=(DEFAULT, BACKGROUND)[number % 2])))
            loop.enter((DEFAULT, BACKGROUND)[number // 3 % 2])
        loop.enter(BACKGROUND)
        for record in records:
            async for _ in store.journal.follow(record.id):
                pass
