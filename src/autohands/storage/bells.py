"""Bells: who waits for a kind of change hears of it, whoever committed it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from autohands.protocols.storage import Kind


class Bell:
    """Rings when something was committed."""

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Something was committed."""
        self._rung.set()

    async def wait(self) -> None:
        """Return when it has rung since the last wait."""
        await self._rung.wait()
        self._rung.clear()


class Bells:
    """The bells that somebody listens to, by kind."""

    def __init__(self) -> None:
        self._bells: dict[Kind, list[Bell]] = {}

    @contextlib.contextmanager
    def listen(self, kind: Kind) -> Iterator[Bell]:
        """A bell for a kind of change, as long as the block lasts."""
        bell = Bell()
        self._bells.setdefault(kind, []).append(bell)
        try:
            yield bell
        finally:
            self._bells[kind].remove(bell)

    def ring(self, kinds: Iterable[Kind]) -> None:
        """Something of these kinds was committed."""
        for kind in kinds:
            for bell in self._bells.get(kind, ()):
                bell.ring()

    def ring_all(self) -> None:
        """Another process has committed something, nobody knows what."""
        self.ring(tuple(self._bells))
