"""Watches over the program from a thread of its own: a stuck loop, what is due and was not done, stale leases."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from autohands.config.paths import write_private
from autohands.protocols.errors import AutoHandsError
from autohands.protocols.watch import Finding, Inspector
from autohands.sdk.identity import now_ms

logger = logging.getLogger(__name__)

REPORT: Final = "sentinel.json"
STACKS: Final = "stacks.txt"
JUMP_SECONDS: Final = 2.0


class Pace(Struct, frozen=True, kw_only=True):
    """How often it looks, how long the loop may leave it without an answer, and how long what is overdue is left alone
    after the start, a sleep of the machine, or a clock that was set."""

    look_seconds: float = 5.0
    stuck_seconds: float = 10.0
    settle_seconds: float = 20.0


STEADY: Final = Pace()


class Sentinel:
    """Looks every few seconds, says what is new, and keeps what it has found in `report` for others to read.

    The loop is asked for a sign of life (`pulse`), which is a real read of the database; where none comes in time, the
    stacks of all threads go into a file beside the report. What is wrong is looked up by `inspector`, in its own way.
    """

    def __init__(
        self, inspector: Inspector, pulse: Callable[[], Awaitable[object]], report: Path, pace: Pace = STEADY
    ) -> None:
        self._inspector = inspector
        self._pulse = pulse
        self._report = report
        self._pace = pace
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0.0
        self._answer: Future[object] | None = None
        self._known: dict[tuple[str, str], Finding] = {}
        self._offset: float | None = None
        self._settled_at = 0.0
        self._mute = False
        self._closing = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch over the running event loop and its program as long as the block lasts."""
        self._loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._live, name="autohands-sentinel", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            thread.join()
            with suppress(OSError):
                self._report.unlink(missing_ok=True)

    def _live(self) -> None:
        try:
            while not self._closing.wait(self._pace.look_seconds):
                self.look()
        finally:
            self._inspector.close()

    def look(self) -> list[Finding]:
        """Look once. Returns what is wrong now; what was not known before is logged."""
        found = [*self._stuck(), *self._overdue()]
        fresh = {(each.kind, each.subject): each for each in found}
        for key in fresh.keys() - self._known.keys():
            logger.error("%s (for %d s)", fresh[key].text, max(now_ms() - fresh[key].since, 0) // 1000)
            if fresh[key].kind == "loop":
                self._dump()
        for key in self._known.keys() - fresh.keys():
            logger.warning("no longer: %s", self._known[key].text)
        changed, self._known = fresh.keys() != self._known.keys(), fresh
        if changed or not self._report.exists():
            self._write(found)
        return found

    def _write(self, found: list[Finding]) -> None:
        """Keep the report, where there still is a place for it."""
        try:
            if self._report.parent.is_dir():
                write_private(self._report, msgspec.json.encode(found))
            self._mute = False
        except OSError as error:
            if not self._mute:
                logger.error("%s cannot be written: %s", self._report, error.strerror)
            self._mute = True

    # --- the loop --------------------------------------------------------------------------------------------------

    def _stuck(self) -> list[Finding]:
        """Ask the loop for a sign of life, or see how long the last one has been awaited."""
        if self._answer is None or self._answer.done():
            found = self._failed()
            self._ask()
            return found
        waited = time.monotonic() - self._asked
        if waited < self._pace.stuck_seconds:
            return []
        since = now_ms() - int(waited * 1000)
        return [
            Finding(kind="loop", subject="loop", text="the event loop or the database does not answer", since=since)
        ]

    def _failed(self) -> list[Finding]:
        error = self._answer.exception() if self._answer is not None and not self._answer.cancelled() else None
        return [] if error is None else [Finding(kind="storage", subject="read", text=str(error), since=now_ms())]

    def _ask(self) -> None:
        if self._loop is None:
            return
        sign = self._sign()
        try:
            self._answer = asyncio.run_coroutine_threadsafe(sign, self._loop)
            self._asked = time.monotonic()
        except RuntimeError:  # the loop is closed
            sign.close()

    async def _sign(self) -> object:
        return await self._pulse()

    def _dump(self) -> None:
        """The stacks of all threads, for whoever has to find out why."""
        path = self._report.with_name(STACKS)
        try:
            with path.open("w") as file:
                faulthandler.dump_traceback(file, all_threads=True)
            logger.error("the stacks of all threads are in %s", path)
        except OSError as error:
            logger.error("the stacks of all threads cannot be written to %s: %s", path, error.strerror)

    # --- what is due -----------------------------------------------------------------------------------------------

    def _overdue(self) -> list[Finding]:
        try:
            found = self._inspector.look(now_ms())
        except AutoHandsError as error:
            return [Finding(kind="storage", subject="file", text=error.text, since=now_ms())]
        return [] if self._settling() else found

    def _settling(self) -> bool:
        """Whether the program has to be given time to catch up: it has just begun, or the clock has leapt."""
        now = time.monotonic()
        offset = time.time() - now
        if self._offset is None or abs(offset - self._offset) > JUMP_SECONDS:
            self._settled_at = now + self._pace.settle_seconds
        self._offset = offset
        return now < self._settled_at


def read_report(path: Path) -> list[Finding]:
    """What the sentinel of the serving program has found; nothing where none serves."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Finding])
    except (OSError, msgspec.DecodeError):
        return []
