"""Write leases: which running task writes where, so that a second one is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from autohands.protocols.changes import HoldPaths
from autohands.protocols.records import Hold
from autohands.storage.transaction import TaskKey, Transaction

# A lease is as good as the run behind it: it ends with it, and with the executor that ran it.
_OTHERS: Final = (
    "SELECT h.path, t.id, s.name, h.since FROM hold h JOIN task t ON t.seq = h.task JOIN session s ON s.id = t.session"
    " JOIN executor e ON e.id = t.lease_owner"
    " WHERE h.place = :place AND t.session <> :session AND t.status = 'running' AND e.lease_until > :now"
)
_ON_PATH: Final = " AND (h.path = :path OR (h.path > :path || '/' AND h.path < :path || '0')) LIMIT 1"
_ANY: Final = " LIMIT 1"


def hold(tx: Transaction, change: HoldPaths, task: TaskKey) -> Hold | None:
    """Take the lease of every path, or of none: then who holds one of them."""
    for path in change.paths:
        for each in _upwards(path):
            values = {"place": change.place, "session": task.session, "now": tx.now, "path": each}
            condition = _ON_PATH if each == path else " AND h.path = :path LIMIT 1"
            if row := tx.connection.execute(_OTHERS + condition, values).fetchone():
                return Hold(*row)
    tx.connection.executemany(
        "INSERT INTO hold(place, path, task, since) VALUES(?, ?, ?, ?)"
        " ON CONFLICT(place, path) DO UPDATE SET task = excluded.task, since = excluded.since"
        " WHERE hold.task <> excluded.task",
        [(change.place, path, task.seq, tx.now) for path in change.paths],
    )
    return None


def held(connection: sqlite3.Connection, place: str, session: str, now: int) -> Hold | None:
    """Who writes anywhere in a place, other than a session."""
    row = connection.execute(_OTHERS + _ANY, {"place": place, "session": session, "now": now}).fetchone()
    return None if row is None else Hold(*row)


def release(tx: Transaction, task: int) -> None:
    """The task has ended."""
    tx.connection.execute("DELETE FROM hold WHERE task = ?", (task,))


def _upwards(path: str) -> Iterator[str]:
    """A path, and those above it."""
    while path and path not in (".", "/"):
        yield path
        path = path.rpartition("/")[0]
    yield "."
