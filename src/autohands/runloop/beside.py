"""Tasks that run beside the loop, for code of others: cancelled at its end, and left behind if they ignore that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 5.0


class Beside:
    """One task for each name. While it is not open nothing is begun. `ended` is called when one has ended."""

    def __init__(self, ended: Callable[[], None], grace_seconds: float = GRACE_SECONDS) -> None:
        self._tell = ended
        self._grace_seconds = grace_seconds
        self._open = False
        self._running: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._running

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """As long as the block lasts tasks may run; after it they are cancelled, and waited for."""
        self._open = True
        try:
            yield
        finally:
            self._open = False
            for name in list(self._running):
                self.cancel(name)
            await self._left()

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin `work`, after what was cancelled under that name has ended; not if something runs under it."""
        if self._open and name not in self._running:
            former = {each for each in self._leaving if each.get_name() == name}
            task = asyncio.create_task(self._run(work, former), name=name)
            self._running[name] = task
            task.add_done_callback(self._ended)

    def cancel(self, name: str) -> None:
        """Cancel what runs under a name."""
        if task := self._running.pop(name, None):
            self._leaving.add(task)
            task.cancel()

    async def _run(self, work: Callable[[], Awaitable[None]], former: set[asyncio.Task[None]]) -> None:
        if former:
            await asyncio.wait(former, timeout=self._grace_seconds)
        await work()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if self._running.get(task.get_name()) is task:
            del self._running[task.get_name()]
        if not task.cancelled() and (error := task.exception()):
            logger.error("%s crashed", task.get_name(), exc_info=error)
        self._tell()  # not before it counts as ended: who is told may want to begin it again

    async def _left(self) -> None:
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=self._grace_seconds)
        for task in self._leaving:
            logger.error("%s does not end; it is left behind", task.get_name())
