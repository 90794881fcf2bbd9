"""Brings a database file to the schema this program knows, with a backup before it touches data."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from autohands.protocols.errors import ConfigError, StorageUnavailable
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import now_ms
from autohands.storage.backups import FOLDER, back_up
from autohands.storage.connection import connect, unavailable
from autohands.storage.schema import APPLICATION_ID, MIGRATIONS


def migrate(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS, *, backup: bool = True
) -> None:
    """Apply the migrations a file lacks, each in a transaction of its own; a crash between two is no harm.

    Raises:
        ConfigError: The file was written by a newer program, or is another program's database.
        StorageUnavailable: It cannot be copied to `backups/`, which is done before its data is touched.
    """
    version = _version(connection, path, len(migrations))
    if version == len(migrations):
        return
    if version and backup:
        back_up(path, path.parent / FOLDER / f"{path.stem}-v{version}-{now_ms()}.db")
        failpoint("migrations.backed_up")
    if not version:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    while version < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _version(connection, path, len(migrations))
            if version < len(migrations):
                _apply(connection, version, migrations[version])
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        failpoint("migrations.applied")
        connection.execute("COMMIT")
        failpoint("migrations.committed")


def check_readable(path: Path) -> None:
    """See that a file that cannot be written, and so not migrated, can be read as it is.

    Raises:
        ConfigError: A newer program or another one wrote it. StorageUnavailable: An older one, or it cannot be read.
    """
    try:
        with closing(connect(path, read_only=True)) as connection:
            version = _version(connection, path, len(MIGRATIONS))
    except sqlite3.Error as error:
        raise unavailable(error, path) from error
    if version < len(MIGRATIONS):
        raise StorageUnavailable(
            f"{path} was written by an older AutoHands and cannot be brought up to date: it cannot be written",
            hint="look at its owner, its mode and the mount",
        )


def _apply(connection: sqlite3.Connection, version: int, script: str) -> None:
    for statement in statements(script):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version + 1}")


def statements(script: str) -> Iterator[str]:
    """The statements of a script. (`executescript` would commit before it begins.)

    Raises:
        ValueError: Its end is missing: what is not complete would be left out.
    """
    gathered = ""
    for part in script.split(";"):
        gathered += part + ";"
        if sqlite3.complete_statement(gathered):
            if gathered.strip(" \n;"):
                yield gathered
            gathered = ""
    if gathered:
        raise ValueError(f"the script breaks off in {gathered.strip()[:80]!r}")


def _version(connection: sqlite3.Connection, path: Path, known: int) -> int:
    """The schema version of a file that is ours, or new.

    Raises:
        ConfigError: It is neither.
    """
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    # The owner is asked for last: what another process writes meanwhile must not make its new file look foreign.
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION_ID and not (empty and version == 0):
        raise ConfigError(f"{path} is the database of another program", hint="choose another state directory")
    if version > known:
        raise ConfigError(
            f"{path} was written by a newer AutoHands (schema {version}; this one knows {known})",
            hint="install the newer version, or restore a copy from backups/ beside it",
        )
    return version
