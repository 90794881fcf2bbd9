"""What should have happened and has not: read from a connection of its own, by whoever watches over the program."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from autohands.protocols.watch import Finding
from autohands.storage.connection import connect, unavailable

GRACE_MS: Final = 15_000
PATIENCE_MS: Final = 60_000
_MOST: Final = 20

_QUERIES: Final[tuple[tuple[str, str, str, int], ...]] = (
    (
        "schedule",
        "SELECT name, next_at, NULL FROM schedule WHERE state = 'active' AND next_at < :late"
        " ORDER BY next_at LIMIT :most",
        "schedule {} is due, and nothing was recorded for its time",
        GRACE_MS,
    ),
    (
        "timer",
        "SELECT id, run_at, NULL FROM task WHERE status IN('delayed', 'waiting') AND run_at IS NOT NULL"
        " AND run_at < :late ORDER BY run_at LIMIT :most",
        "task {} was to go on, and does not",
        GRACE_MS,
    ),
    (
        "lease",
        "SELECT t.id, coalesce(e.lease_until, t.updated), e.pid FROM task t LEFT JOIN executor e ON e.id ="
        " t.lease_owner WHERE t.status = 'running' AND coalesce(e.lease_until, t.updated) < :late LIMIT :most",
        "task {} runs in a program that has not renewed its lease",
        GRACE_MS,
    ),
    (
        "message",
        "SELECT id, send_at, nullif(error, '') FROM message WHERE state = 'pending' AND head = 1 AND send_at < :late"
        " ORDER BY send_at LIMIT :most",
        "message {} was to be sent, and is not",
        PATIENCE_MS,
    ),
)
_MORE: Final = {"lease": "process {}"}


class Inspector:
    """Looks into the database file, from any one thread, on a connection that it keeps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def look(self, now: int) -> list[Finding]:
        """What is overdue at `now` (UTC ms).

        Raises:
            StorageUnavailable: The file cannot be read.
        """
        try:
            if self._connection is None:
                self._connection = connect(self._path, read_only=True)
            connection = self._connection
            return [finding for query in _QUERIES for finding in _found(connection, now, *query)]
        except sqlite3.Error as error:
            self.close()
            raise unavailable(error, self._path) from error

    def close(self) -> None:
        """Let go of the file; the next look opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _found(connection: sqlite3.Connection, now: int, kind: str, query: str, text: str, grace: int) -> list[Finding]:
    rows = connection.execute(query, {"late": now - grace, "most": _MOST}).fetchall()
    return [
        Finding(kind=kind, subject=subject, text=_text(kind, text.format(subject), more), since=since)
        for subject, since, more in rows
    ]


def _text(kind: str, text: str, more: object) -> str:
    return text if more is None else f"{text}: {_MORE.get(kind, '{}').format(more)}"
