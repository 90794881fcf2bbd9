"""Modes: which queues are served now, and the observer that lets background work begin when there is no other.

The loop is in one mode at a time, and a mode names the queues that are served in it. The background mode serves the
default mode's queues as well: nothing else could tell that default work has come, and so none is missed and none is
looked for. Default work wins all the same. What a mode serves for the first time has slots of its own, so that
background work holds none that default work needs; and as soon as default work has begun, the loop is in default mode
again and begins no further background work. What runs by then goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from autohands.protocols.errors import BadRequest, NotFound
from autohands.protocols.loop import BACKGROUND, DEFAULT, Observer, Phase
from autohands.runloop.timers import Timer

SHARED: Final[Mapping[str, Sequence[str]]] = MappingProxyType({DEFAULT: (DEFAULT,), BACKGROUND: (DEFAULT, BACKGROUND)})
QUIET_SECONDS: Final = 1.0
QUIET: Final = "quiet"


class Modes:
    """The mode the loop is in, and who waits for another. `queues` is what each serves; it begins in the first.

    `brought` is which queues a mode serves that none before it did. `served` may be asked by any thread.
    """

    def __init__(self, queues: Mapping[str, Sequence[str]]) -> None:
        self._queues = {mode: tuple(names) for mode, names in queues.items()}
        self.brought: dict[str, tuple[str, ...]] = {}
        known: set[str] = set()
        for mode, names in self._queues.items():
            self.brought[mode] = tuple(name for name in names if name not in known)
            known.update(names)
        if not known:
            raise BadRequest("a run loop needs a mode, and a queue to serve in it")
        self.present = next(iter(self._queues))
        self.closed = False
        self._changed = asyncio.Event()

    def enter(self, mode: str) -> bool:
        """Go over to a mode; whether that is another one than before. Raises `NotFound` where there is none such."""
        if mode not in self._queues:
            raise NotFound(f"the run loop has no mode {mode!r}; there are {', '.join(self._queues)}")
        if mode == self.present:
            return False
        self.present = mode
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    async def among(self, modes: Collection[str]) -> None:
        """Wait until the loop is in one of `modes`."""
        while self.present not in modes:
            await self._changed.wait()

    def served(self, bringer: str) -> tuple[str, ...]:
        """Of the queues that a mode brought, those that are served now; none when all is closed."""
        if self.closed:
            return ()
        now = self._queues[self.present]
        return tuple(name for name in self.brought[bringer] if name in now)


class Switched(Protocol):
    """What `Idle` asks of the loop, and does to it."""

    @property
    def mode(self) -> str:
        """The mode it is in."""
        ...

    def busy(self, mode: str) -> bool:
        """Whether work of a mode runs."""
        ...

    def enter(self, mode: str) -> None:
        """Go over to a mode."""
        ...

    def add_timer(self, timer: Timer) -> None:
        """Have a timer fire."""
        ...

    def remove(self, name: str) -> None:
        """Take it away again."""
        ...


class Idle:
    """Lets background work begin when no default work has run for `quiet_seconds`, and none when there is some again.

    It goes into the loop as `loop.add_observer(Idle(loop).observer)`.
    """

    def __init__(self, loop: Switched, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._loop = loop
        self._armed = False
        self._quiet_seconds = quiet_seconds

    @property
    def observer(self) -> Observer:
        """What the loop tells."""
        return Observer(name="idle", notice=self._notice, phases=Phase.BEFORE_SOURCES)

    def _notice(self, phase: Phase) -> None:
        """Another turn: what runs?"""
        if self._loop.busy(DEFAULT):
            self._loop.enter(DEFAULT)
            self._disarm()
        elif self._loop.mode == DEFAULT and not self._armed:
            self._armed = True
            self._loop.add_timer(Timer(name=QUIET, fire=self._rest, after_seconds=self._quiet_seconds))

    async def _rest(self) -> None:
        self._armed = False
        if not self._loop.busy(DEFAULT):
            self._loop.enter(BACKGROUND)

    def _disarm(self) -> None:
        if self._armed:
            self._armed = False
            self._loop.remove(QUIET)
