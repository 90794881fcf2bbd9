"""Migrations: a backup first, each step whole or not at all, and nothing newer is touched."""

import sqlite3
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.errors import ConfigError
from autohands.storage.connection import connect
from autohands.storage.migrations import migrate, statements
from autohands.storage.schema import MIGRATIONS
from storage.stores import submit, tables

SECOND = "ALTER TABLE meta ADD COLUMN note TEXT; INSERT INTO meta VALUES('second', '1', 'a;b');"
BROKEN = "INSERT INTO meta VALUES('half', '1', NULL); INSERT INTO nowhere VALUES(1);"


def version(path: Path) -> int:
    with tables(path) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return found


async def old_file(path: Path) -> str:
    """A file of today's schema with one task in it."""
    async with storage.open(path) as store:
        return (await submit(store)).id


async def test_cr13_data_is_backed_up_before_it_is_migrated(path: Path) -> None:
    task = await old_file(path)
    connection = connect(path)
    migrate(connection, path, (*MIGRATIONS, SECOND))
    connection.close()
    assert version(path) == len(MIGRATIONS) + 1
    (backup,) = (path.parent / "backups").iterdir()
    assert version(backup) == len(MIGRATIONS)
    with tables(backup) as copy:
        assert copy.execute("SELECT id FROM task").fetchall() == [(task,)]
    assert backup.stat().st_mode & 0o777 == 0o600


async def test_a_new_file_and_one_up_to_date_need_no_backup(path: Path) -> None:
    await old_file(path)
    await old_file(path)
    assert not (path.parent / "backups").exists()


async def test_cr13_a_step_that_fails_leaves_the_one_before_it(path: Path) -> None:
    await old_file(path)
    connection = connect(path)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, path, (*MIGRATIONS, SECOND, BROKEN))
    assert version(path) == len(MIGRATIONS) + 1
    assert connection.execute("SELECT key, note FROM meta").fetchall() == [("second", "a;b")]
    migrate(connection, path, (*MIGRATIONS, SECOND, "INSERT INTO meta VALUES('third', '1', NULL);"))
    connection.close()
    assert version(path) == len(MIGRATIONS) + 2


async def test_cr13_a_newer_file_is_refused_and_not_touched(path: Path) -> None:
    await old_file(path)
    with tables(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="newer AutoHands") as refused:
        async with storage.open(path):
            pass
    assert "backups" in (refused.value.hint or "")
    assert version(path) == 99


async def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with tables(path) as connection:
        connection.execute("CREATE TABLE theirs(a)")
    with pytest.raises(ConfigError, match="another program"):
        async with storage.open(path):
            pass
    with tables(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_a_script_is_split_where_sqlite_would() -> None:
    script = "SELECT ';'; CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;\n\n"
    assert [each.strip() for each in statements(script)] == [
        "SELECT ';';",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;",
    ]
