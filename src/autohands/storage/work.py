"""Units of work on their way through the writer: alone, or one after another in a transaction that they share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from autohands.storage.connection import is_fatal
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
        """Forget the unit: it may know its work, and no cycle is left for the collector."""
        self.unit, self.landed = nothing, ignore


def do_together(connection: sqlite3.Connection, works: list[Work], now: int) -> bool:
    """Run units up to the first that fails; whether none did. Savepoints cost more than they save: there are none."""
    return all(_done(work, Transaction(connection, now)) for work in works)


def do_apart(connection: sqlite3.Connection, works: list[Work], now: int) -> None:
    """Run units so that those that fail leave nothing behind."""
    for work in works:
        connection.execute("SAVEPOINT unit")
        if not _done(work, Transaction(connection, now)):
            connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")


def _done(work: Work, tx: Transaction) -> bool:
    """Run a unit; False if it fails. An error that concerns everybody is raised."""
    work.tx, work.error = tx, None
    try:
        work.result = work.unit(tx)
    except Exception as error:  # the unit's own affair: its neighbours stay
        if is_fatal(error) or not tx.connection.in_transaction:
            raise
        work.error = error
    return work.error is None


def nothing(_tx: Transaction) -> None:
    """The unit that does nothing."""


def ignore(_work: Work) -> None:
    """What lands and interests nobody."""
