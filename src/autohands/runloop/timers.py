"""Timers: something is done once, or again and again, at a time of the monotonic clock.

Setting the wall clock does nothing to them. What is to happen at a time of day is a schedule.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from msgspec import Struct

from autohands.protocols.errors import BadRequest, Conflict
from autohands.protocols.loop import MODES
from autohands.runloop.foreign import Status


class Clock(Struct, frozen=True):
    """The time in seconds, and how to wait for some; a test has its own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Timer(Struct, frozen=True, kw_only=True):
    """Fires after `after_seconds`, and then every `every_seconds` if that is given; at least one of them is.

    It fires in its `modes` only, never early, and may be late by `tolerance_seconds`, so that timers share a wake-up.
    Whatever times went by meanwhile, it fires once; and not while what it began the last time goes on: one that fires
    once waits for that to end. Those that are due together fire in their `order`.

    Raises:
        BadRequest: A time is missing or makes no sense.
    """

    name: str
    fire: Callable[[], Awaitable[object]]
    after_seconds: float | None = None
    every_seconds: float | None = None
    tolerance_seconds: float = 0.0
    order: int = 0
    modes: tuple[str, ...] = MODES

    def __post_init__(self) -> None:
        times = [each for each in (self.after_seconds, self.every_seconds) if each is not None]
        if not times or not all(0 <= each < math.inf for each in (*times, self.tolerance_seconds)):
            raise BadRequest(f"timer {self.name!r} needs after_seconds or every_seconds, from 0")
        if self.every_seconds == 0:
            raise BadRequest(f"timer {self.name!r} cannot fire every 0 seconds")

    @property
    def first_seconds(self) -> float:
        """How long it is until it fires first."""
        wait = self.every_seconds if self.after_seconds is None else self.after_seconds
        return wait or 0.0

    def next_after(self, due: float, now: float) -> float | None:
        """When it fires next, if it was due at `due` and has just fired; None if it does not."""
        if self.every_seconds is None:
            return None
        following = due + self.every_seconds * (math.floor((now - due) / self.every_seconds) + 1)
        return following if following > now else now + self.every_seconds


class Timers:
    """The timers of one loop, and when each is due."""

    def __init__(self, clock: Clock, busy: Callable[[str], bool] = lambda name: False) -> None:
        """`busy` says whether what a timer of a name began goes on."""
        self._clock = clock
        self._busy = busy
        self._timers: dict[str, Timer] = {}
        self._due: dict[str, float] = {}
        self._statuses: dict[str, Status] = {}

    def add(self, timer: Timer) -> None:
        """Its time runs from now. Raises `Conflict` where the name is taken."""
        if timer.name in self._timers:
            raise Conflict(f"the run loop has a timer {timer.name!r} already", hint="rename one of them")
        self._timers[timer.name] = timer
        self._due[timer.name] = self._clock.now() + timer.first_seconds
        self._statuses[timer.name] = Status(kind="timer", name=timer.name)

    def remove(self, name: str) -> None:
        """It does not fire any more."""
        for known in (self._timers, self._due, self._statuses):
            known.pop(name, None)

    def take_due(self, mode: str) -> list[tuple[Timer, Status]]:
        """Those that fire now in `mode`; one that does not repeat is gone with it."""
        now = self._clock.now()
        due = [each for each in self._awaited(mode) if self._due[each.name] <= now]
        due.sort(key=lambda each: (each.order, self._due[each.name]))
        taken = [(each, self._statuses[each.name]) for each in due]
        for each in due:
            following = each.next_after(self._due[each.name], now)
            if following is None:
                self.remove(each.name)
            else:
                self._due[each.name] = following
        return taken

    def next_at(self, mode: str) -> float | None:
        """When the loop has to wake at the latest, so that none fires later in `mode` than it may."""
        return min(
            (self._due[each.name] + each.tolerance_seconds for each in self._awaited(mode)),
            default=None,
        )

    def _awaited(self, mode: str) -> list[Timer]:
        """Those whose time counts now."""
        return [
            each
            for each in self._timers.values()
            if mode in each.modes and (each.every_seconds is not None or not self._busy(each.name))
        ]

    def status(self) -> list[Status]:
        """How each does."""
        return list(self._statuses.values())


class Alarm:
    """Rings at one time; setting it anew replaces the time."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._at: float | None = None
        self._sleeper: asyncio.Task[None] | None = None

    def set(self, at: float | None) -> None:
        """Ring at `at`; None is never."""
        if at == self._at:
            return
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._at = at
        self._sleeper = None if at is None else asyncio.create_task(self._sleep(at), name="alarm")

    async def close(self) -> None:
        """Ring no more."""
        sleeper = self._sleeper
        self.set(None)
        if sleeper is not None:
            await asyncio.wait((sleeper,))

    async def _sleep(self, at: float) -> None:
        await self._clock.sleep(max(at - self._clock.now(), 0.0))
        self._at = self._sleeper = None
        self._ring()
