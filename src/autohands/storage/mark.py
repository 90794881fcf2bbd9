"""The high-water mark: how far the database had come, kept outside it, so that a loss is noticed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import struct
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from autohands.storage.connection import damaged

MARK: Final = "mark"
_RECORD: Final = struct.Struct("<8s16sQQQ")
_COMMITS_AT: Final = 24
_SUM: Final = struct.Struct("<I")
_MAGIC: Final = b"AH-MARK1"
_SIZE: Final = _RECORD.size + _SUM.size
_SUSPECT_AT: Final = 64
_TRIES: Final = 5

_IDENTITY: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")

_COUNT: Final = (
    "UPDATE meta SET value = value + 1 WHERE key = 'commits'"
    " RETURNING value, (SELECT seq FROM sqlite_sequence WHERE name = 'task')"
)


class Height(Struct, frozen=True):
    """How far a database has come: commits from its beginning, tasks ever accepted, and when that was (UTC ms)."""

    identity: str
    commits: int
    tasks: int
    at: int


class Mark:
    """A file of 65 bytes beside the database.

    Every process raises it after each of its commits, without a sync: it may stay behind the database, never be ahead
    of it. A record that cannot be read counts as none. One byte says that damage was met.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def open(self) -> None:
        """Open the file, made if missing (0600)."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._descriptor).st_mode & 0o777 != 0o600:
            os.fchmod(self._descriptor, 0o600)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from opening, mending or replacing the database as long as the block lasts."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def read(self) -> Height | None:
        """What it says; None if it says nothing."""
        for _ in range(_TRIES):  # another process may be writing it
            data = os.pread(self._descriptor, _SIZE, 0)
            if not data:
                return None
            if len(data) == _SIZE and _SUM.unpack_from(data, _RECORD.size)[0] == zlib.crc32(data[: _RECORD.size]):
                magic, identity, commits, tasks, at = _RECORD.unpack_from(data)
                return Height(identity.hex(), commits, tasks, at) if magic == _MAGIC else None
        return None

    def write(self, height: Height) -> None:
        """Make it say something else, durably."""
        self._put(height)
        os.fsync(self._descriptor)

    def forget(self) -> None:
        """Say nothing any more."""
        os.ftruncate(self._descriptor, 0)

    def reach(self, height: Height) -> None:
        """The database has come as far as this. A mark that cannot be written must not keep work from being done."""
        with contextlib.suppress(OSError):
            if self._commits() < height.commits or self.read() is None:
                self._put(height)

    def _commits(self) -> int:
        """The number of commits that stands there, right or wrong: cheaper than `read`."""
        return int.from_bytes(os.pread(self._descriptor, 8, _COMMITS_AT), "little")

    def _put(self, height: Height) -> None:
        record = _RECORD.pack(_MAGIC, bytes.fromhex(height.identity), height.commits, height.tasks, height.at)
        os.pwrite(self._descriptor, record + _SUM.pack(zlib.crc32(record)), 0)

    @property
    def suspected(self) -> bool:
        """Whether damage was met since the database was last checked whole."""
        return os.pread(self._descriptor, 1, _SUSPECT_AT) == b"\x01"

    def suspect(self) -> None:
        """Damage was met: the next start checks the whole file."""
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, b"\x01", _SUSPECT_AT)

    def trust(self) -> None:
        """The file was found whole."""
        if self.suspected:
            os.pwrite(self._descriptor, b"\x00", _SUSPECT_AT)


def height_of(connection: sqlite3.Connection) -> Height | None:
    """How far a database has come; None if it does not count yet.

    Raises:
        sqlite3.DatabaseError: What it says about itself makes no sense: it is damaged.
    """
    tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN('meta', 'task')"
    if connection.execute(tables).fetchone()[0] < 2:
        return None
    known = dict(connection.execute("SELECT key, value FROM meta WHERE key IN('identity', 'commits')").fetchall())
    if not known:
        return None
    identity, commits = known.get("identity", ""), known.get("commits", "")
    if not (_IDENTITY.fullmatch(identity) and _NUMBER.fullmatch(commits)):
        raise damaged("its identity or its number of commits cannot be read")
    tasks = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'task'").fetchone()
    last = connection.execute("SELECT updated FROM task ORDER BY seq DESC LIMIT 1").fetchone()
    return Height(identity, int(commits), tasks[0] if tasks else 0, last[0] if last else 0)


def count(connection: sqlite3.Connection, identity: str, now: int) -> Height | None:
    """Count the commit that this transaction will be, and say how far the database comes by it."""
    row = connection.execute(_COUNT).fetchone()
    return None if row is None else Height(identity, int(row[0]), row[1] or 0, now)


def begin(connection: sqlite3.Connection) -> Height:
    """Have a database count, if it does not yet. Returns how far it has come."""
    height = height_of(connection)
    if height is None:
        connection.execute("INSERT OR IGNORE INTO meta VALUES('identity', ?), ('commits', '1')", (uuid.uuid4().hex,))
        height = height_of(connection)
    assert height is not None
    return height
