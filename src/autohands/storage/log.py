"""The write-ahead log: carried over into the database while nobody waits, and kept from growing for ever."""

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

IDLE_SECONDS: Final = 0.05
MOST_CARRIED: Final = 50
GROUPS_A_LOOK: Final = 8
HELD_SECONDS: Final = 1.0


class Log:
    """Belongs to the writer's thread. No reader begins while the `gate` is closed."""

    def __init__(self, path: Path, gate: threading.Event) -> None:
        self._path = path
        self._gate = gate
        self._groups = 0
        self._held_until = 0.0

    @property
    def patience(self) -> float | None:
        """How many seconds of silence are to be used; None if it has nothing to do."""
        return IDLE_SECONDS if self._groups >= MOST_CARRIED else None

    def grown(self, connection: sqlite3.Connection | None) -> None:
        """A group was committed."""
        self._groups += 1
        if connection is not None and self._groups % GROUPS_A_LOOK == 0:
            self._keep_short(connection)

    def rest(self, connection: sqlite3.Connection | None) -> None:
        """Nobody waits: the log may be carried over, which takes several syncs."""
        if connection is not None and self._groups >= MOST_CARRIED:
            self._groups = 0
            with contextlib.suppress(sqlite3.Error):
                carry_over(connection)

    def _keep_short(self, connection: sqlite3.Connection) -> None:
        if log_bytes(self._path) <= LOG_BYTES or time.monotonic() < self._held_until:
            return
        self._groups = 0
        self._gate.clear()
        try:
            if not shorten_log(connection):
                self._held_until = time.monotonic() + HELD_SECONDS
        except sqlite3.Error as error:
            logger.warning("the log of %s cannot be emptied: %s", self._path, error)
        finally:
            self._gate.set()
