"""Connections to the database file, and what SQLite's errors mean to us."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from autohands.protocols.errors import StorageUnavailable

BUSY_SECONDS: Final = 10.0
_STATEMENTS: Final = 512

_REMEDIES: Final[dict[int, tuple[str, str]]] = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space"),
    sqlite3.SQLITE_IOERR: (
        "the disk reports an error",
        "see that there is free space, then look at the system log: the disk may be failing",
    ),
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", "restore one from backups/ beside it"),
    sqlite3.SQLITE_NOTADB: ("the file is not a database", "restore one from backups/ beside it"),
    sqlite3.SQLITE_READONLY: ("the file cannot be written", "look at its owner, its mode and the mount"),
    sqlite3.SQLITE_CANTOPEN: ("the file cannot be opened", "look at its owner, its mode and the open-file limit"),
    sqlite3.SQLITE_PERM: ("the file cannot be opened", "look at its owner and mode"),
    sqlite3.SQLITE_BUSY: (
        f"another process has held it for {BUSY_SECONDS:.0f} s",
        "look for a hanging process with `fuser`",
    ),
    sqlite3.SQLITE_PROTOCOL: ("locking does not work on it", "keep the state directory on a local disk, not on NFS"),
    sqlite3.SQLITE_NOMEM: ("there is no memory left", "free some memory"),
}


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open an existing database file. The connection commits only where it is told to."""
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 67108864")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def is_fatal(error: BaseException) -> bool:
    """Whether an error concerns the whole file, and so everybody who shares the transaction."""
    return isinstance(error, sqlite3.Error) and _primary(error) in _REMEDIES


def needs_reopening(error: sqlite3.Error) -> bool:
    """Whether a connection should be thrown away after this error: what it holds in memory may not be on disk."""
    return _primary(error) not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)


def unavailable(error: sqlite3.Error, path: Path) -> StorageUnavailable:
    """The error for callers: which file, what is wrong, and the remedy."""
    text, remedy = _REMEDIES.get(_primary(error), (str(error), "run `autohands doctor`"))
    return StorageUnavailable(f"{path}: {text} ({error})", hint=remedy)


def _primary(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
