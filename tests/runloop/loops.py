"""Run loops for the tests: an engine that has nothing to do, a place where tasks arrive, and a loop that runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from autohands.protocols.loop import Observer, Phase
from autohands.protocols.storage import Handler, Serve
from autohands.protocols.task import Task, TaskRecord
from autohands.runloop.loop import RunLoop
from autohands.runloop.modes import SHARED
from autohands.runloop.timers import Clock
from autohands.testing.clock import FakeClock

PATIENCE_SECONDS = 20.0


class NoWork:
    """An engine without tasks. `served` is what it is asked to serve now, one for each call of `serve`."""

    def __init__(self) -> None:
        self.wakes = 0
        self.slots: list[int] = []
        self._served: list[Serve] = []
        self._called = asyncio.Event()

    @property
    def served(self) -> list[tuple[str, ...]]:
        return [tuple(queues()) for queues in self._served]

    async def called(self, times: int) -> None:
        """Wait until it serves so often."""
        while len(self._served) < times:
            self._called.clear()
            await self._called.wait()

    def wake(self) -> None:
        self.wakes += 1

    async def serve(
        self, handler: Handler, *, slots: int, queues: Serve = lambda: ("default",), root: str | None = None
    ) -> None:
        self.slots.append(slots)
        self._served.append(queues)
        self._called.set()
        await asyncio.Event().wait()


class Inbox:
    """Where tasks arrive. `refuse` may raise instead."""

    def __init__(self, refuse: Callable[[Task], None] = lambda task: None) -> None:
        self.tasks: list[Task] = []
        self._refuse = refuse
        self._arrived = asyncio.Event()

    @property
    def prompts(self) -> list[str]:
        return [task.prompt for task in self.tasks]

    async def submit(self, task: Task) -> TaskRecord:
        self._refuse(task)
        self.tasks.append(task)
        self._arrived.set()
        return TaskRecord(id=f"task_{len(self.tasks)}", seq=len(self.tasks), state="ready", session="s", task=task)

    async def until(self, count: int) -> None:
        """Wait until so many have arrived."""
        while len(self.tasks) < count:
            self._arrived.clear()
            await self._arrived.wait()


class Phases:
    """An observer that notes the phases, among what else is noted, and lets a test wait for one."""

    def __init__(self, name: str = "phases", **fields: Any) -> None:
        self.noted: list[object] = []
        self._news = asyncio.Event()
        self.observer = Observer(name=name, notice=self.note, **fields)

    def note(self, what: object) -> None:
        self.noted.append(what)
        self._news.set()

    async def until(self, what: object, times: int = 1) -> None:
        """Wait until it was noted so often."""
        while self.noted.count(what) < times:
            self._news.clear()
            await self._news.wait()

    async def asleep(self) -> None:
        """Wait until the loop sleeps, with nothing left to do."""
        while not self.noted or self.noted[-1] != Phase.BEFORE_WAITING:
            self._news.clear()
            await self._news.wait()


def clock_of(clock: FakeClock) -> Clock:
    """A fake clock as the loop takes it."""
    return Clock(now=clock.monotonic, sleep=clock.sleep)


def a_loop(engine: NoWork | None = None, queue: Inbox | None = None, **options: Any) -> RunLoop:
    """A loop without tasks."""

    async def handler(lease: object) -> None:
        raise AssertionError("there are no tasks here")

    return RunLoop(engine or NoWork(), handler, queue or Inbox(), **{"slots": 4, "modes": SHARED, **options})


@asynccontextmanager
async def running(loop: RunLoop) -> AsyncIterator[asyncio.Task[None]]:
    """The loop runs as long as the context is open; then it is stopped, and must end."""
    task = asyncio.create_task(loop.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield task
            loop.stop()
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
