"""How long an answer may take: one timer for a whole stream, re-armed only when it fires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct


class Deadlines(Struct, frozen=True, kw_only=True):
    """Seconds: until the first meaningful event, between two of them, and for the whole answer."""

    first_byte_seconds: float = 300.0
    idle_seconds: float = 180.0
    total_seconds: float = 3600.0


class ProgressTimer:
    """Calls `expire(text)` once, as soon as an answer makes no progress for too long, or takes too long as a whole.

    `progress()` costs a clock read: the timer looks at what happened only when it fires, and then sets itself anew.
    Time in which `waiting` is false (the reader is busy with what came) does not count as idle.
    """

    def __init__(self, deadlines: Deadlines, started: float, expire: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._started = started
        self._expire = expire
        self._last: float | None = None
        self._patience = deadlines.idle_seconds
        self._handle: asyncio.TimerHandle | None = None
        self.waiting = False
        self._latest = started + deadlines.total_seconds
        self._arm(started + min(deadlines.first_byte_seconds, deadlines.idle_seconds))

    def progress(self) -> None:
        """Something meaningful came."""
        self._last = self._loop.time()

    def hurry(self, seconds: float) -> None:
        """From now on be idle for at most `seconds`: all that matters has come."""
        if seconds < self._patience:
            self._patience = seconds
            self._last = self._loop.time()
            self.stop()
            self._arm(self._end())

    def stop(self) -> None:
        """Never fire again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, when: float) -> None:
        self._handle = self._loop.call_at(min(when, self._latest), self._check)

    def _check(self) -> None:
        self._handle = None
        now = self._loop.time()
        if now >= self._latest:
            self._expire(f"the answer took longer than {self._deadlines.total_seconds:g} s")
            return
        if not self.waiting and self._last is not None:
            self._last = now
        end = self._end()
        if now < end:
            self._arm(end)
        elif self._last is None:
            self._expire(f"no answer within {self._deadlines.first_byte_seconds:g} s")
        else:
            self._expire(f"the answer stopped: nothing came for {self._patience:g} s")

    def _end(self) -> float:
        if self._last is None:
            return self._started + self._deadlines.first_byte_seconds
        return self._last + self._patience
