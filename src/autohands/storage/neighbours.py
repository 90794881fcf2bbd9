"""Whether other processes have committed something to the same database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

FRESH_NS: Final = 1_000_000_000


class Neighbours:
    """Told apart from one's own commits by SQLite's data version."""

    def __init__(self, database: Path, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._log = database.with_name(f"{database.name}-wal")
        self._version = 0
        self._touched = (0, 0)
        self._settled = False

    def begin(self, connection: sqlite3.Connection) -> None:
        """What stands there now is known."""
        self._version = _data_version(connection)

    def begin_anew(self) -> None:
        """The connection is another one: its versions are not to be compared with those before."""
        self._version = 0

    def have_committed(self, connection: sqlite3.Connection) -> bool:
        """Whether they have since this was last asked."""
        if not self._have_touched():
            return False
        version = _data_version(connection)
        known, self._version = version == self._version, version
        return not known

    def _have_touched(self) -> bool:
        """Whether anybody may have written since the last look. Asking the file system is cheaper than asking SQLite.

        A time stamp that was younger than its own granularity at the last look says nothing about what came after it,
        however late this look comes.
        """
        try:
            status = self._log.stat()
        except OSError:
            return True
        touched = (status.st_mtime_ns, status.st_size)
        known, self._touched = touched == self._touched and self._settled, touched
        self._settled = self._clock() - status.st_mtime_ns >= FRESH_NS
        return not known


def _data_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
