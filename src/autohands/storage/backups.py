"""Copies of the database, made while it is in use, each checked before it counts; beside it a folder with its blobs."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from autohands.protocols.errors import BadRequest, Conflict, StorageUnavailable
from autohands.protocols.upkeep import Backup
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import now_ms
from autohands.storage.connection import connect, is_damage, log_bytes, unavailable
from autohands.storage.files import private_directory, private_file, sync_directory, sync_file
from autohands.storage.mark import MARK, Mark, height_of
from autohands.storage.schema import APPLICATION_ID, MIGRATIONS

FOLDER: Final = "backups"
PAGES_AT_ONCE: Final = 2048
_BLOBS: Final = ".blobs"
_DAY_MS: Final = 86_400_000
_DAILY: Final = re.compile(r"\d{8}T\d{6}\.\d{3}Z")
_BEFORE_UPGRADE: Final = re.compile(r"v\d+-\d+")


class Counts(Struct, frozen=True):
    """How much a database holds."""

    schema: int
    commits: int
    sessions: int
    tasks: int
    events: int


def back_up(database: Path, target: Path | None = None, *, stop: threading.Event | None = None) -> Backup:
    """Copy a database and its blobs while others write, and check the copy; without `target` into `backups/`.

    The blobs lie in a folder beside the copy, named after it.

    Raises:
        Conflict: There is something at `target` already. StorageUnavailable: The database cannot be read or the copy
            not be written, the copy is not whole, or `stop` was set.
    """
    target = target or database.parent / FOLDER / f"{database.stem}-{_stamp(now_ms())}{database.suffix}"
    if os.path.lexists(target) or os.path.lexists(blobs_of(target)):
        raise Conflict(f"{target} exists already", hint="name another file, or move that one away")
    part = target.with_name(f".{target.name}.part")
    try:
        counts, missing = _copied(database, part, blobs_of(target), stop)
        failpoint("backups.copied")
        part.replace(target)
        sync_directory(target.parent)
        failpoint("backups.kept")
    except (OSError, sqlite3.Error) as error:
        if is_damage(error):
            suspect(database)
        raise unavailable(error, database if is_damage(error) else target) from error
    finally:
        part.unlink(missing_ok=True)
        if not target.exists():
            shutil.rmtree(blobs_of(target), ignore_errors=True)
    return _described(target, counts, missing)


def _copied(database: Path, part: Path, blobs: Path, stop: threading.Event | None) -> tuple[Counts, int]:
    """Make a checked copy, with its blobs; what it holds, and how many blobs are gone."""
    if not part.parent.is_dir():
        private_directory(part.parent)
    with closing(connect(database, read_only=True)) as origin:
        expected = copy(origin, part, stop=stop)
    if problem := _flaw(part, expected):
        suspect(database)
        raise StorageUnavailable(f"{database}: its copy is damaged: {problem}", hint="`autohands doctor` looks closer")
    return expected, _keep_blobs(part, database.parent / "blobs", blobs)


def _flaw(file: Path, expected: Counts) -> str | None:
    """What is wrong with a copy."""
    try:
        return None if _counts(file) == expected else "it is not what was copied"
    except StorageUnavailable as error:
        return error.text


def copy(origin: sqlite3.Connection, target: Path, *, stop: threading.Event | None = None) -> Counts:
    """Copy what is committed at this moment, synced to disk; what it holds. An existing target is replaced.

    The snapshot is held to the end: neither do writers disturb the copy, nor does it disturb them.
    """
    for end in ("", "-wal", "-shm"):  # a log that was left there would be taken for the copy's own
        target.with_name(f"{target.name}{end}").unlink(missing_ok=True)
    private_file(target)
    with closing(sqlite3.connect(target, isolation_level=None)) as copied:
        origin.execute("BEGIN")
        try:
            counts = _count(origin)
            copied.execute("PRAGMA synchronous = OFF")
            copied.execute("PRAGMA journal_mode = OFF")
            origin.backup(copied, pages=PAGES_AT_ONCE, progress=_stopping(stop, target), sleep=0.0)
        finally:
            origin.execute("ROLLBACK")
    sync_file(target)
    return counts


def _stopping(stop: threading.Event | None, target: Path) -> Callable[[int, int, int], None] | None:
    if stop is None:
        return None

    def look(_status: int, _left: int, _all: int) -> None:
        if stop.is_set():
            raise StorageUnavailable(f"{target}: the program is stopping")

    return look


def verify(file: Path) -> Backup:
    """Check a copy whole: SQLite's integrity check, whose it is, whether this program can read it.

    Raises:
        BadRequest: It is no database of ours, or a newer one. StorageUnavailable: It is damaged.
    """
    try:
        counts = _counts(file)
    except (OSError, sqlite3.Error) as error:
        if not file.is_file():
            raise BadRequest(f"{file} is no file", hint="`autohands backup --list` shows what there is") from None
        raise unavailable(error, file) from error
    if counts.schema > len(MIGRATIONS):
        raise BadRequest(f"{file} was written by a newer AutoHands", hint="install the newer version")
    return _described(file, counts, 0)


def kept(folder: Path) -> list[Path]:
    """The copies in a folder, the newest first."""
    found = [path for path in folder.glob("*.db") if not path.name.startswith(".")] if folder.is_dir() else []
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def prune(folder: Path, most: int) -> int:
    """Delete old copies but the newest `most` (at least one) of those made daily, and of those before an upgrade.

    Copies that a person has put there stay. What copying that was killed has left there for a day goes too. Returns
    how many copies went.
    """
    for path in _left_over(folder):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    gone = 0
    for name in (_DAILY, _BEFORE_UPGRADE):
        old = [path for path in kept(folder) if name.search(path.stem)][max(most, 1) :]
        for path in old:
            path.unlink(missing_ok=True)
            shutil.rmtree(blobs_of(path), ignore_errors=True)
        gone += len(old)
    return gone


def _left_over(folder: Path) -> list[Path]:
    """Copies that were never completed, and blobs without their copy."""
    parts = [path for path in folder.glob(".*.part*") if path.is_file()]
    blobs = [path for path in folder.glob(f"*{_BLOBS}") if not path.with_name(path.name.removesuffix(_BLOBS)).exists()]
    return [path for path in (*parts, *blobs) if now_ms() - path.stat().st_mtime_ns // 1_000_000 > _DAY_MS]


def blobs_of(copy: Path) -> Path:
    """Where the blobs of a copy lie."""
    return copy.with_name(f"{copy.name}{_BLOBS}")


def add_blobs(source: Path, folder: Path) -> None:
    """Bring the blobs of a copy back, as far as they are not there."""
    for path in source.glob("??/*") if source.is_dir() else ():
        _link(path, folder / path.parent.name / path.name)


def _keep_blobs(copy: Path, source: Path, target: Path) -> int:
    """Keep the blobs that a copy speaks of beside it, as second names of the same files where that can be done.

    Returns how many are gone.
    """
    missing = 0
    with closing(opened(copy)) as connection:
        for (digest,) in connection.execute("SELECT sha256 FROM blob"):
            try:
                _link(source / digest[:2] / digest, target / digest[:2] / digest)
            except FileNotFoundError:
                missing += 1
    return missing


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    if not source.exists():
        raise FileNotFoundError(2, "is gone", str(source))
    private_directory(target.parent)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o600)
        sync_file(target)


def _counts(file: Path) -> Counts:
    with closing(opened(file)) as connection:
        connection.execute("BEGIN")
        counts = _count(connection)
        said: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if said != "ok":
        raise StorageUnavailable(f"{file}: {said}", hint="it is damaged: use another copy")
    return counts


def _count(connection: sqlite3.Connection) -> Counts:
    """How much a database holds.

    Raises:
        BadRequest: It is not ours.
    """
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    schema: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if owner != APPLICATION_ID or schema < 1:
        raise BadRequest("this is no database of AutoHands")
    height = height_of(connection)
    numbers = [_rows(connection, table) for table in ("session", "task", "event")]
    return Counts(schema, height.commits if height else 0, *numbers)


def _rows(connection: sqlite3.Connection, table: str) -> int:
    number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return number


def _described(file: Path, counts: Counts, missing: int) -> Backup:
    status = file.stat()
    return Backup(
        path=str(file),
        made=status.st_mtime_ns // 1_000_000,
        size=status.st_size,
        schema=counts.schema,
        commits=counts.commits,
        sessions=counts.sessions,
        tasks=counts.tasks,
        events=counts.events,
        blobs=sum(1 for _ in _files(blobs_of(file))),
        missing=missing,
    )


def _files(folder: Path) -> Iterator[Path]:
    return folder.glob("??/*")


def opened(file: Path) -> sqlite3.Connection:
    """A copy to read from. One without a log is not going to change."""
    return connect(file, read_only=True, immutable=log_bytes(file) == 0)


def suspect(database: Path) -> None:
    """Have the next start check the whole database."""
    mark = Mark(database.with_name(MARK))
    mark.open()
    mark.suspect()
    mark.close()


def _stamp(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{milliseconds % 1000:03d}Z"
