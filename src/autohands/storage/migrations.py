"""Brings a database file to the schema this program knows, with a backup before it touches data."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from autohands.protocols.errors import ConfigError
from autohands.sdk.identity import now_ms
from autohands.storage.files import private_directory, private_file, sync_directory
from autohands.storage.schema import APPLICATION_ID, MIGRATIONS


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Apply the migrations a file lacks, each in a transaction of its own; a crash between two is no harm.

    Raises:
        ConfigError: The file was written by a newer program, or is another program's database.
    """
    version = _version(connection, path, len(migrations))
    if version == len(migrations):
        return
    if version:
        back_up(connection, path, version)
    else:
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
        connection.execute("COMMIT")


def back_up(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copy the database to `backups/` beside it and return the copy's path."""
    folder = path.parent / "backups"
    private_directory(folder)
    copy = folder / f"{path.stem}-v{version}-{now_ms()}.db"
    private_file(copy)
    with closing(sqlite3.connect(copy)) as target:
        connection.backup(target)
    sync_directory(folder)
    return copy


def _apply(connection: sqlite3.Connection, version: int, script: str) -> None:
    for statement in statements(script):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version + 1}")


def statements(script: str) -> Iterator[str]:
    """The statements of a script. (`executescript` would commit before it begins.)"""
    gathered = ""
    for part in script.split(";"):
        gathered += part + ";"
        if sqlite3.complete_statement(gathered):
            if gathered.strip(" \n;"):
                yield gathered
            gathered = ""


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
