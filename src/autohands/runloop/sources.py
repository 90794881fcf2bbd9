"""Sources: a Source0 is signalled by hand, a Source1 wakes the loop by itself, as an async iterator of tasks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final, Protocol

from msgspec.structs import replace

from autohands.protocols.errors import AutoHandsError, Conflict, RetryableError, StorageUnavailable, TooBusy
from autohands.protocols.loop import MODES, Source
from autohands.protocols.task import Task, TaskRecord
from autohands.runloop.foreign import Status
from autohands.runloop.modes import Modes
from autohands.runloop.timers import Clock

logger = logging.getLogger(__name__)

LEAST_SECONDS: Final = 0.01
MOST_SECONDS: Final = 60.0
UNNAMED: Final = "api"


class Door(Protocol):
    """Where tasks are submitted."""

    async def submit(self, task: Task) -> TaskRecord:
        """Accept a task."""
        ...


class Source0:
    """An input that is signalled by hand: `perform` is awaited soon after, in the modes it belongs to.

    However often it is signalled before that, it is performed once; signalled while it performs, once more. What was
    signalled together is begun in `order`.
    """

    def __init__(
        self, name: str, perform: Callable[[], Awaitable[object]], *, modes: tuple[str, ...] = MODES, order: int = 0
    ) -> None:
        self.name = name
        self.perform = perform
        self.modes = modes
        self.order = order
        self.status = Status(kind="source0", name=name)
        self.signalled = False
        self._wake: Callable[[], None] | None = None

    def signal(self) -> None:
        """There is something to perform; wakes the loop that it was added to."""
        self.signalled = True
        if self._wake is not None:
            self._wake()

    def belong(self, wake: Callable[[], None] | None) -> None:
        """Whom to wake. The loop says so when it is added and removed."""
        self._wake = wake


class Signals:
    """The sources of one loop that are signalled by hand."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._sources: dict[str, Source0] = {}

    def add(self, source: Source0) -> None:
        """Perform it when it is signalled, or has been. Raises `Conflict` where the name is taken."""
        if source.name in self._sources:
            raise Conflict(f"the run loop has a source0 {source.name!r} already", hint="rename one of them")
        self._sources[source.name] = source
        source.belong(self._wake)

    def remove(self, name: str) -> None:
        """Perform it no more."""
        if source := self._sources.pop(name, None):
            source.belong(None)

    def take_signalled(self, mode: str, busy: Callable[[str], bool]) -> list[Source0]:
        """Those to perform now in `mode`, which are not signalled any more; those that are `busy` stay so."""
        ready = [
            each
            for each in self._sources.values()
            if each.signalled and mode in each.modes and not busy(f"source0 {each.name}")
        ]
        ready.sort(key=lambda each: each.order)
        for each in ready:
            each.signalled = False
        return ready

    def status(self) -> list[Status]:
        """How each does."""
        return [source.status for source in self._sources.values()]


class Hearing:
    """Hears one source: each of its tasks is submitted before the next is asked for, none is left out silently."""

    def __init__(self, name: str, source: Source, door: Door, modes: Modes, clock: Clock) -> None:
        self._name = name
        self._source = source
        self._door = door
        self._modes = modes
        self._clock = clock

    async def run(self, status: Status) -> None:
        """Hear it until it ends. Raises what it raises."""
        async with _closed(self._source.tasks()) as tasks:
            async for task in tasks:
                await self._modes.among(self._source.modes)
                await self._deliver(replace(task, source=self._name) if task.source == UNNAMED else task, status)

    async def _deliver(self, task: Task, status: Status) -> None:
        """Submit a task, again and again while there is no room; one that makes no sense is reported."""
        while True:
            try:
                await self._door.submit(task)
                return
            except (TooBusy, RetryableError, StorageUnavailable) as error:
                seconds = error.retry_after_seconds if isinstance(error, TooBusy | RetryableError) else None
                await self._clock.sleep(min(max(seconds or 1.0, LEAST_SECONDS), MOST_SECONDS))
            except AutoHandsError as error:
                status.refused += 1
                status.reason = error.text
                logger.error("a task of source %s is refused: %s", self._name, error.text)
                return


@contextlib.asynccontextmanager
async def _closed(tasks: AsyncIterator[Task]) -> AsyncIterator[AsyncIterator[Task]]:
    """The iterator, closed in the end where it can be."""
    try:
        yield tasks
    finally:
        if isinstance(tasks, AsyncGenerator):
            await tasks.aclose()
