"""What the kill switch does to a program: what runs in it ends, and what comes up waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from autohands.protocols.changes import Cancel
from autohands.protocols.context import Parked, Wait
from autohands.protocols.errors import NotFound, StorageUnavailable
from autohands.protocols.storage import Storage
from autohands.protocols.tool import Effect
from autohands.sdk.identity import now_ms

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
IDLE_LOOK_SECONDS = 1.0  # where nothing runs: what begins looks by itself
AGAIN_SECONDS = 15.0
BY = "the kill switch"


class Stopping:
    """`reason` says why nothing may happen, None where it may. The runs of this program are between `runs`."""

    def __init__(
        self, reason: Callable[[], str | None], storage: Storage, end_jobs: Callable[[], Awaitable[None]]
    ) -> None:
        self.reason = reason
        self._storage = storage
        self._end_jobs = end_jobs
        self._running: set[str] = set()

    @contextmanager
    def runs(self, task: str) -> Iterator[None]:
        """A task runs in the block. Raises `Parked` where nothing may happen: it comes up again later."""
        if self.reason() is not None:
            raise Parked(Wait("timer", "stopped", now_ms() + int(AGAIN_SECONDS * 1000)))
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)

    def refusal(self, effect: Effect) -> str | None:
        """Why a call that belongs to no run must not run now."""
        return None if effect == "read" else self.reason()

    async def halt(self, task: str) -> None:
        """Return at once where things may happen; else the task is cancelled, and this does not return."""
        if self.reason() is not None:
            await self._cancel(task)
            await asyncio.sleep(AGAIN_SECONDS)
            raise Parked(Wait("timer", "stopped", now_ms()))

    async def watch(self) -> None:
        """End what runs as soon as nothing may happen any more."""
        while True:
            if self.reason() is not None:
                await self._stop()
            await asyncio.sleep(LOOK_SECONDS if self._running else IDLE_LOOK_SECONDS)

    async def _stop(self) -> None:
        if self._running:
            logger.error("%s: %d runs are ended", self.reason(), len(self._running))
        for task in tuple(self._running):
            await self._cancel(task)
        await self._end_jobs()

    async def _cancel(self, task: str) -> None:
        with contextlib.suppress(NotFound, StorageUnavailable):
            await self._storage.commit(Cancel(task=task, by=BY))


async def going_on() -> None:
    """Nothing stands against it."""
