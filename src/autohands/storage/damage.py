"""A damaged database: noticed when it is opened, put aside, and replaced by the newest good state there is."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autohands.protocols.errors import AutoHandsError, Conflict, StorageUnavailable
from autohands.protocols.upkeep import Loss
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import now_ms
from autohands.storage import backups, replaced
from autohands.storage.connection import connect, is_damage, is_writable, log_bytes, unavailable
from autohands.storage.files import private_directory, private_file, sync_directory, sync_file, write_whole
from autohands.storage.mark import MARK, Height, Mark, begin, height_of
from autohands.storage.migrations import migrate
from autohands.storage.schema import APPLICATION_ID

logger = logging.getLogger(__name__)

FOLDER: Final = "damaged"
REPORT: Final = "report.json"
RESERVE: Final = "reserve"
ANEW: Final = "`autohands doctor --fix` moves it to damaged/ and begins anew"
_FRAME_BYTES: Final = 24
_LOCK_START: Final = 0x4000_0002
_LOCK_LENGTH: Final = 510


class Found(Struct, frozen=True):
    """An opened database, and what it has lost, if it had to be replaced."""

    connection: sqlite3.Connection
    height: Height
    loss: Loss | None = None


def open_whole(path: Path, mark: Mark) -> Found:
    """Open a database for writing: made or migrated where need be, replaced by its newest good state if it is damaged.

    Raises:
        ConfigError: It is another program's, or a newer one's. StorageUnavailable: It is damaged and there is no good
            copy, or other programs use it; or it cannot be opened. The text has the remedy.
    """
    with mark.held():
        if path.exists():
            private_file(path)
        connection, reason = _looked_at(path, mark, deep=False)
        loss = None
        if reason is not None:
            loss = _mend(path, mark, reason)
            logger.error("%s: %s", path, loss)
        if connection is None:
            private_file(path)
            connection = connect(path)
        try:
            migrate(connection, path)
            height = begin(connection)
            _agree(path, mark, height)
        except BaseException:
            connection.close()
            raise
        return Found(connection, height, loss)


def _agree(path: Path, mark: Mark, height: Height) -> None:
    """Have the mark speak of this database."""
    seen = mark.read()
    if seen is None or seen.identity == height.identity:
        mark.reach(height)
        return
    logger.warning("%s is another database than the last time; it is taken as it is", path)
    mark.write(height)


def find(path: Path, mark: Mark, *, deep: bool = False) -> str | None:
    """What is wrong with a database; None if nothing is, or nothing has been made yet.

    It costs the same whatever the size, unless damage was met before, or with `deep`: then all of it is read.

    Raises:
        StorageUnavailable: It cannot be opened, for another reason than damage.
    """
    connection, reason = _looked_at(path, mark, deep=deep)
    if connection is not None:
        connection.close()
    return reason


def _looked_at(path: Path, mark: Mark, *, deep: bool) -> tuple[sqlite3.Connection | None, str | None]:
    """The database, opened, or what is wrong with it; neither, if nothing has been made yet."""
    seen = mark.read()  # before the database: it must not be overtaken by it
    connection = None
    try:
        if not path.exists() or path.stat().st_size == 0:
            what = "is empty" if path.exists() else "is gone"
            return None, f"the file {what}" if (seen is not None and seen.commits > 1) or log_bytes(path) else None
        deep = deep or mark.suspected
        connection = connect(path)
        if reason := _look(connection, path, seen, deep=deep):
            connection.close()
            return None, reason
    except (OSError, sqlite3.Error) as error:
        if connection is not None:
            connection.close()
        if is_damage(error):
            return None, str(error)
        raise unavailable(error, path) from error
    if deep:
        mark.trust()
    return connection, None


def _look(connection: sqlite3.Connection, path: Path, seen: Height | None, *, deep: bool) -> str | None:
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # reads the header, the log and the schema
    own = height_of(connection)
    if own is None or seen is None or own.identity != seen.identity:
        seen = None
    if seen and own and connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        return "its header is damaged"
    if problem := _too_short(connection, path):
        return problem
    if deep and (said := connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
        return str(said)
    if seen and own and own.commits < seen.commits:
        return f"{seen.commits - own.commits} commits are missing that were made"
    return None


def _too_short(connection: sqlite3.Connection, path: Path) -> str | None:
    """Whether pages are missing that are not in the log either."""
    pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    page_size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    missing = pages - path.stat().st_size // page_size
    if missing > log_bytes(path) // (page_size + _FRAME_BYTES):
        return f"the file was cut off: {missing} of its {pages} pages are missing"
    return None


def restore(path: Path, file: Path) -> Loss:
    """Put a copy in the place of the database, at the owner's wish; what stood there is kept in `damaged/`.

    Raises:
        BadRequest: It is no copy that this version can read. Conflict: A living program uses the database.
        StorageUnavailable: The copy is damaged, or cannot be written here.
    """
    backups.verify(file)
    private_directory(path.parent)
    with _holding(path) as mark:
        if is_in_use(path):
            raise Conflict(f"{path} is in use", hint="stop `autohands serve` and whatever else uses it")
        return _replace(path, mark, "the owner's wish", file)


def begin_anew(path: Path) -> Path | None:
    """Put a database aside that cannot be mended, so that the next start makes a new one; where it is now.

    Raises:
        Conflict: A living program uses it.
    """
    with _holding(path) as mark:
        if is_in_use(path):
            raise Conflict(f"{path} is in use", hint="stop `autohands serve` and whatever else uses it")
        aside = _set_aside(path)
        mark.forget()
        return aside


def examine(path: Path) -> str | None:
    """Read a whole database and say what is wrong with it; None if nothing is, or nothing has been made yet.

    Raises:
        BadRequest, StorageUnavailable: It cannot be opened, for another reason than damage.
    """
    if not is_writable(path):
        backups.verify(path)
        return None
    if not path.exists() and not path.with_name(MARK).exists():
        return None
    with _holding(path) as mark:
        return find(path, mark, deep=True)


def mend(path: Path) -> Loss | None:
    """Check the whole database, and replace it by its newest good state if it is damaged; what that has cost.

    Raises:
        StorageUnavailable: There is no good copy, or other programs use it.
    """
    with _holding(path) as mark:
        reason = find(path, mark, deep=True)
        return None if reason is None else _mend(path, mark, reason)


def is_in_use(path: Path) -> bool:
    """Whether another process has the database open: in WAL mode each holds a shared lock on it all the time."""
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_LENGTH, _LOCK_START)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _holding(path: Path) -> Iterator[Mark]:
    mark = Mark(path.with_name(MARK))
    mark.open()
    try:
        with mark.held():
            yield mark
    finally:
        mark.close()


def _mend(path: Path, mark: Mark, reason: str) -> Loss:
    if is_in_use(path):
        raise StorageUnavailable(
            f"{path}: {reason}; other programs have it open", hint="stop them: the next start replaces it"
        )
    best = _best(path, mark.read())
    if best is None:
        place = path.parent / backups.FOLDER
        raise StorageUnavailable(f"{path}: {reason}; there is no good copy in {place}", hint=ANEW)
    return _replace(path, mark, reason, best)


def _best(path: Path, seen: Height | None) -> Path | None:
    """The newest good state of the same database: what a mending that was killed had ready, itself, or a copy."""
    best: tuple[int, Path] | None = None
    for file in (_prepared(path), path, *backups.kept(path.parent / backups.FOLDER)):
        height = _height_if_good(file)
        if height is None or (seen is not None and height.identity != seen.identity):
            continue
        if best is None or height.commits > best[0]:
            best = height.commits, file
    return best[1] if best else None


def _height_if_good(file: Path) -> Height | None:
    try:
        backups.verify(file)
        with closing(backups.opened(file)) as connection:
            return height_of(connection) or Height("", 0, 0, 0)
    except (AutoHandsError, OSError, sqlite3.Error):
        return None


def _replace(path: Path, mark: Mark, reason: str, file: Path) -> Loss:
    """Make the state in `file` the database. After a crash in between, the next start completes it."""
    seen, prepared = mark.read(), _prepared(path)
    try:
        source = "what is left of it" if file == path else str(file)
        loss = Loss(reason=reason, restored=source, aside="", commits=None, tasks=None)
        if file != prepared:
            loss = _prepare(path, prepared, file, seen, loss)
        failpoint("damage.prepared")
        aside = _set_aside(path)
        failpoint("damage.set_aside")
        prepared.rename(path)
        sync_directory(path.parent)
        failpoint("damage.replaced")
        backups.add_blobs(backups.blobs_of(file), path.parent / "blobs")
        mark.trust()
        return _reported(replace(loss, aside=str(aside) if aside else ""), aside)
    except (OSError, sqlite3.Error) as error:
        raise unavailable(error, path) from error


def _prepare(path: Path, prepared: Path, file: Path, seen: Height | None, loss: Loss) -> Loss:
    """Make a copy of a state that can take the database's place: in today's schema, numbered above all before."""
    part = prepared.with_name(f"{prepared.name}.part")
    with closing(backups.opened(file)) as origin:
        backups.copy(origin, part)
    with closing(connect(part)) as connection:
        migrate(connection, part, backup=False)
        own = begin(connection)
        related = seen is not None and seen.identity == own.identity
        if seen is not None and related:
            loss = replace(loss, commits=max(seen.commits - own.commits, 0), tasks=max(seen.tasks - own.tasks, 0))
        loss = replaced.settle(connection, loss, max(seen.commits, own.commits) + 1 if seen and related else None)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    sync_file(part)
    part.rename(prepared)
    sync_directory(path.parent)
    return loss


def _prepared(path: Path) -> Path:
    return path.with_name(f".{path.name}.restored")


def _set_aside(path: Path) -> Path | None:
    """Move the database, its log and the log's index into a folder of their own in `damaged/`."""
    parts = [path.with_name(f"{path.name}{end}") for end in ("", "-wal", "-shm")]
    if not any(part.exists() for part in parts):
        return None
    folder = path.parent / FOLDER / str(now_ms())
    private_directory(folder)
    for part in parts:
        if part.exists():
            part.rename(folder / part.name)
    sync_directory(folder)
    sync_directory(path.parent)
    return folder


def _reported(loss: Loss, aside: Path | None) -> Loss:
    if aside is not None:
        write_whole(aside / REPORT, msgspec.json.format(msgspec.json.encode(loss)))
    return loss
