"""Units of work on their way to the writer and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autohands.storage.transaction import Transaction, Unit


class Work:
    """A unit on its way: after its group was committed or refused, `landed` is called with it on the event loop."""

    __slots__ = ("error", "landed", "result", "tx", "unit")

    def __init__(self, unit: Unit[Any], landed: Callable[[Work], None]) -> None:
        self.unit = unit
        self.landed = landed
        self.result: Any = None
        self.error: BaseException | None = None
        self.tx: Transaction | None = None

    def let_go(self) -> None:
        """It has landed. A unit may know its work: no cycle is left for the collector."""
        self.unit, self.landed = nothing, ignore


def nothing(_tx: Transaction) -> None:
    """A unit that does nothing: the writer wakes."""


def ignore(_work: Work) -> None:
    """Nobody wants to know."""
