"""The write-ahead log: carried over into the database when nobody waits, and kept short when somebody always does."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

from autohands.storage.connection import LOG_BYTES, carry_over, log_bytes, shorten_log

logger = logging.getLogger(__name__)

HELD_SECONDS: Final = 1.0
MOST_CARRIED: Final = 50
GROUPS_A_LOOK: Final = 8
IDLE_SECONDS: Final = 0.05


class Log:
    """Looked after by the writer's thread. Readers begin while `gate` is set."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._uncarried = 0
        self._held_until = 0.0
        self.gate = threading.Event()
        self.gate.set()

    @property
    def patience(self) -> float | None:
        """After how many idle seconds it wants to be carried over."""
        return IDLE_SECONDS if self._uncarried >= MOST_CARRIED else None

    def grown(self, connection: sqlite3.Connection | None) -> None:
        """Another group was committed: see to it that the log does not grow for ever."""
        self._uncarried += 1
        if self._uncarried % GROUPS_A_LOOK or connection is None:
            return
        if log_bytes(self._path) > LOG_BYTES and time.monotonic() >= self._held_until:
            self._shorten(connection)

    def idle(self, connection: sqlite3.Connection | None) -> None:
        """Nobody waits: it may be carried over, which takes several syncs."""
        if self._uncarried >= MOST_CARRIED and connection is not None:
            self._uncarried = 0
            with contextlib.suppress(sqlite3.Error):
                carry_over(connection)

    def _shorten(self, connection: sqlite3.Connection) -> None:
        self.gate.clear()
        try:
            self._uncarried = 0
            if not shorten_log(connection):
                self._held_until = time.monotonic() + HELD_SECONDS
        except sqlite3.Error as error:
            logger.warning("the log of %s cannot be emptied: %s", self._path, error)
        finally:
            self.gate.set()
