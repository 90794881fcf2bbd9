"""Where code of others is entered by the run loop: whatever it raises is noted, logged, and goes no further."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from msgspec import Struct

from autohands.core.foreign import contained, describe
from autohands.protocols.errors import AutoHandsError

logger = logging.getLogger(__name__)

Kind: TypeAlias = Literal["observer", "source0", "source", "timer", "service"]
State: TypeAlias = Literal["waiting", "running", "restarting", "ended"]


class Status(Struct, kw_only=True):
    """How something in the loop does. `failures` counts them all, `reason` is the last one; `refused` counts tasks."""

    kind: Kind
    name: str
    state: State = "waiting"
    failures: int = 0
    refused: int = 0
    reason: str = ""

    def failed(self, error: BaseException) -> None:
        """Note a failure and report it."""
        self._note(error)
        self._report(error)

    def failed_again(self, error: BaseException) -> None:
        """Note a failure of something that is tried all the time: the same one in a row is reported once."""
        before = self.reason
        self._note(error)
        if self.reason != before:
            self._report(error)

    def _note(self, error: BaseException) -> None:
        self.failures += 1
        self.reason = error.text if isinstance(error, AutoHandsError) else describe(error)

    def _report(self, error: BaseException) -> None:
        logger.error("%s %s failed: %s", self.kind, self.name, self.reason)
        logger.debug("%s %s failed", self.kind, self.name, exc_info=error)


def noticed(notice: Callable[[], None], report: Callable[[BaseException], None]) -> None:
    """Call foreign code that does not wait."""
    try:
        with contained(report):
            notice()
    except asyncio.CancelledError as error:  # nobody can cancel a call that does not wait: it raised this itself
        report(error)


async def sheltered(action: Callable[[], Awaitable[object]], report: Callable[[BaseException], None]) -> bool:
    """Await foreign code, in a task of its own. Returns whether it did without raising.

    That it is cancelled passes through; a CancelledError that nobody asked for is its own and a failure.
    """
    fine = False
    try:
        with contained(report):
            await action()
            fine = True
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        report(error)
    return fine
