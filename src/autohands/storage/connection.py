"""Connections to the database file, and what SQLite's errors mean to us."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from autohands.protocols.errors import StorageUnavailable

BUSY_SECONDS: Final = 10.0
LOG_BYTES: Final = 64 << 20
_STATEMENTS: Final = 512
_NO_ROOM_BYTES: Final = 64 << 10
_PATIENCE_MS: Final = 500

_RESTORE: Final = "the next start checks it and restores the newest good copy of backups/; see `autohands doctor`"
_REMEDIES: Final[dict[int, tuple[str, str]]] = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space"),
    sqlite3.SQLITE_IOERR: (
        "the disk reports an error",
        "see that there is free space, then look at the system log: the disk may be failing",
    ),
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", _RESTORE),
    sqlite3.SQLITE_NOTADB: ("the file is not a database", _RESTORE),
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


def connect(path: Path, *, read_only: bool = False, immutable: bool = False) -> sqlite3.Connection:
    """Open an existing database file. The connection commits only where it is told to.

    Of a file that is `immutable` nobody else knows; nothing is made beside it.
    """
    immutable = immutable or (read_only and not os.access(path.parent, os.W_OK) and log_bytes(path) == 0)
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}&immutable={int(immutable)}",
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
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # the writer does it while nobody waits
            connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 0")
    except sqlite3.Error:
        connection.close()
        raise
    except UnicodeDecodeError as error:  # a message that quotes a damaged schema
        connection.close()
        raise damaged("its schema cannot be read") from error
    return connection


def log_bytes(path: Path) -> int:
    """The size of a database's write-ahead log."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0


def is_writable(path: Path) -> bool:
    """Whether a database can be written, or made."""
    if not os.access(path.parent, os.W_OK) and path.exists():
        return False
    return not path.exists() or os.access(path, os.W_OK)


def shorten_log(connection: sqlite3.Connection) -> bool:
    """Carry the log over into the database and empty it; False if a reader stood in the way.

    Readers that overlap without a pause keep SQLite from beginning it anew by itself, and it would grow for ever. It
    gives way to one that takes long.
    """
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    try:
        return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")


def carry_over(connection: sqlite3.Connection) -> None:
    """Carry over into the database what no reader needs in the log: it begins anew then, and does not grow."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def is_fatal(error: BaseException) -> bool:
    """Whether an error concerns the whole file, and so everybody who shares the transaction."""
    return isinstance(error, sqlite3.Error) and _primary(error) in _REMEDIES


def needs_reopening(error: sqlite3.Error) -> bool:
    """Whether a connection should be thrown away after this error: what it holds in memory may not be on disk."""
    return _primary(error) not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file is not what it was."""
    return isinstance(error, sqlite3.Error) and _primary(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def damaged(text: str) -> sqlite3.DatabaseError:
    """The error for damage that SQLite itself cannot see."""
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def is_full(error: sqlite3.Error, path: Path) -> bool:
    """Whether there is no room. The index of the log reports that as an input/output error."""
    if _primary(error) == sqlite3.SQLITE_FULL:
        return True
    try:
        return _primary(error) == sqlite3.SQLITE_IOERR and shutil.disk_usage(path.parent).free < _NO_ROOM_BYTES
    except OSError:
        return False


def unavailable(error: sqlite3.Error | OSError, path: Path) -> StorageUnavailable:
    """The error for callers: which file, what is wrong, and the remedy."""
    if isinstance(error, sqlite3.Error) and is_full(error, path):
        text, remedy = _REMEDIES[sqlite3.SQLITE_FULL]
    elif isinstance(error, sqlite3.Error):
        text, remedy = _REMEDIES.get(_primary(error), (str(error), "run `autohands doctor`"))
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        text, remedy = _REMEDIES[sqlite3.SQLITE_FULL]
    else:
        text, remedy = "cannot be opened", "look at its owner, its mode and the disk"
    return StorageUnavailable(f"{path}: {text} ({error})", hint=remedy)


def _primary(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
