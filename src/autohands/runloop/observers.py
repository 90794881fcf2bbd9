"""Observers: told of the loop's phases, each in the modes it belongs to, lower `order` first."""

from __future__ import annotations

from functools import partial

from autohands.protocols.errors import Conflict
from autohands.protocols.loop import Observer, Phase
from autohands.runloop.foreign import Status, noticed


class Observers:
    """The observers of one loop. One that raises is told again; the same failure in a row is reported once."""

    def __init__(self) -> None:
        self._statuses: dict[str, Status] = {}
        self._in_order: tuple[Observer, ...] = ()

    def __len__(self) -> int:
        return len(self._in_order)

    def add(self, observer: Observer) -> None:
        """Tell it from the next phase on. Raises `Conflict` where the name is taken."""
        if observer.name in self._statuses:
            raise Conflict(f"the run loop has an observer {observer.name!r} already", hint="rename one of them")
        self._statuses[observer.name] = Status(kind="observer", name=observer.name, state="running")
        self._in_order = tuple(sorted((*self._in_order, observer), key=lambda each: each.order))

    def remove(self, name: str) -> None:
        """Tell it no more."""
        self._statuses.pop(name, None)
        self._in_order = tuple(each for each in self._in_order if each.name != name)

    def notify(self, phase: Phase, mode: str) -> None:
        """Tell those that want to know of `phase` in `mode`. What one of them adds or removes counts from the next."""
        for observer in self._in_order:
            if phase in observer.phases and mode in observer.modes and (status := self._statuses.get(observer.name)):
                noticed(partial(observer.notice, phase), status.failed_again)

    def status(self) -> list[Status]:
        """How each does."""
        return list(self._statuses.values())
