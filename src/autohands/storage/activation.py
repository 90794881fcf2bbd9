"""A task that runs here: its handler at work, and what becomes of the task when that ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from autohands.protocols.changes import Change, Finish, Park
from autohands.protocols.errors import Fenced, StorageUnavailable
from autohands.protocols.events import Durable, TaskWaiting
from autohands.protocols.storage import Handler
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import now_ms
from autohands.storage import endings
from autohands.storage.lease import Lease
from autohands.storage.resting import BACKOFF, BACKOFF_WAITS

logger = logging.getLogger(__name__)

BACK_OFF_SECONDS: Final = 1.0
_PUT_OFF: Final = TaskWaiting(reason=BACKOFF, waits=BACKOFF_WAITS)


class Activation:
    """One task that runs here: its lease, and the handler at work in a task of its own."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.cancelled = False
        self._work: asyncio.Future[None] | None = None

    def cancel(self, reason: str = "cancelled") -> None:
        """The task is to be cancelled."""
        if not self.cancelled:
            self.cancelled = True
            if self._work is not None:
                self._work.cancel(reason)

    async def run(self, handler: Handler) -> None:
        """Call the handler, and see to it that the task does not stay running."""
        if self.cancelled:
            await self._conclude(endings.CANCELLED)
            return
        self._work = work = asyncio.ensure_future(self._handle(handler))
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            work.cancel("stopping")
            await asyncio.wait([work])
            await self._put_down()
            raise
        if change := self._last_change(work):
            await self._conclude(*change)

    async def _handle(self, handler: Handler) -> None:
        failpoint("engine.claimed")
        await handler(self.lease)

    def _last_change(self, work: asyncio.Future[None]) -> tuple[Change, Durable | None] | None:
        """How the task leaves the state of running, if the handler has not seen to that."""
        if work.cancelled():
            return (endings.CANCELLED if self.cancelled else _failed("the handler cancelled itself")), None
        error = work.exception()
        if isinstance(error, Fenced):
            return None
        if isinstance(error, StorageUnavailable):
            logger.error("task %s parks: %s", self.lease.record.id, error)
            until = now_ms() + int(BACK_OFF_SECONDS * 1000)
            return Park(reason=BACKOFF, waits=BACKOFF_WAITS, until=until), _PUT_OFF
        if error is None:
            return _failed("the handler returned without ending or parking the task"), None
        logger.error("task %s crashed", self.lease.record.id, exc_info=error)
        return _failed(_told(error)), None

    async def _conclude(self, change: Change, event: Durable | None = None) -> None:
        """Commit the last change, however long the disk refuses. Where something that was gathered cannot be recorded,
        the task fails without it."""
        refused, seconds = False, 0.0
        while not self.lease.over:
            await asyncio.sleep(seconds)
            seconds = BACK_OFF_SECONDS
            failpoint("engine.concluding")
            error = await _error_of(self.lease.conclude(change, event))
            if error is None or isinstance(error, Fenced):
                return
            if not isinstance(error, StorageUnavailable):
                logger.error("task %s cannot be concluded", self.lease.record.id, exc_info=error)
                self.lease.forget()
                change, event = _failed(_told(error)), None
                refused, seconds = True, BACK_OFF_SECONDS if refused else 0.0

    async def _put_down(self) -> None:
        """Serving stops: what the run has gathered is recorded; the task itself is released by `resign`."""
        if not self.lease.over:
            error = await _error_of(self.lease.commit())
            if error is not None and not isinstance(error, Fenced | StorageUnavailable):
                logger.error("task %s: what it gathered last is lost", self.lease.record.id, exc_info=error)


async def _error_of(work: Coroutine[Any, Any, object]) -> BaseException | None:
    """What a piece of work raises, whatever that is, instead of its result."""
    (outcome,) = await asyncio.gather(work, return_exceptions=True)
    return outcome if isinstance(outcome, BaseException) else None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode()


def _failed(error: str) -> Finish:
    return Finish(state="failed", reason="failed", error=error)
