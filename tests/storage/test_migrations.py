"""Migrations: a backup first, each step whole or not at all, and nothing newer is touched."""

import hashlib
import sqlite3
import subprocess
import sys
from contextlib import closing
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


# Releases have written files with these: they are never changed again.
RELEASED = ["c662d7620c70c1f96e905c3ebcb9e85581ce017138436e8ef2fba8c6ee632f95"]
UPGRADE = (
    "import asyncio, pathlib, sys\nfrom autohands import storage\n"
    "async def main():\n    async with storage.open(pathlib.Path(sys.argv[1])): pass\n"
    "asyncio.run(main())"
)
DYING = (
    "import os, pathlib, signal, sys\nfrom autohands.storage.connection import connect\n"
    "from autohands.storage.migrations import migrate\n"
    "path, left = pathlib.Path(sys.argv[1]), int(sys.argv[2])\nconnection = connect(path)\n"
    "def die(statement):\n    global left\n    left -= 1\n"
    "    if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
    "connection.set_trace_callback(die)\nmigrate(connection, path)\nconnection.close()\n"
)
TASK = (
    "INSERT INTO task(seq, id, session, principal, source, queue, kind, agent, labels, root, request, rank, status,"
    " max_attempts, created, updated) VALUES(?1, ?2, 'ses_1', 'owner', 'cli', 'default', 'agent', 'general', x'7b7d',"
    ' ?2, CAST(\'{"prompt":"go"}\' AS BLOB), 0, ?3, 5, 0, 0)'
)


def first_version(path: Path) -> None:
    """A file as the first release wrote it, with data in it."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)
    with closing(connect(path)) as connection:
        migrate(connection, path, MIGRATIONS[:1])
        connection.execute(
            "INSERT INTO session(id, principal, name, agent, created, updated) VALUES('ses_1', 'owner', 'one',"
            " 'general', 0, 0)"
        )
        for number, state in enumerate(("ready", "blocked"), 1):
            connection.execute(TASK, (number, f"task_{number}", state))
        connection.execute("INSERT INTO event VALUES(1, 1, 'task.queued', 0, NULL, NULL, x'')")


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
    assert connection.execute("SELECT key, note FROM meta WHERE note <> ''").fetchall() == [("second", "a;b")]
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


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n UPDATE a SET b = CASE b WHEN ';' THEN 1 END; DELETE FROM c;\nEND",
        "INSERT INTO a VALUES('one; two');",
        "-- a remark; with a semicolon\nDELETE FROM a;",
    ],
)
def test_a_statement_with_semicolons_in_it_is_one(script: str) -> None:
    assert len(list(statements(script))) == 1


@pytest.mark.parametrize(
    "end", ["INSERT INTO a VALUES('open", "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a;"]
)
def test_a_script_that_breaks_off_is_no_shorter_script(end: str) -> None:
    with pytest.raises(ValueError, match="breaks off"):
        list(statements(f"DELETE FROM a;\n{end}"))


def test_cr13_what_a_release_has_written_is_not_changed() -> None:
    digests = [hashlib.sha256(script.encode()).hexdigest() for script in MIGRATIONS]
    assert digests[: len(RELEASED)] == RELEASED


async def test_cr13_the_first_releases_file_is_brought_up_with_its_data(path: Path) -> None:
    first_version(path)
    async with storage.open(path) as store:
        assert {task.id: task.state for task in await store.tasks()} == {"task_1": "ready", "task_2": "blocked"}
        assert len(await store.journal.events("task_1")) == 1
        await submit(store, session="one")
    assert version(path) == len(MIGRATIONS)
    (backup,) = (path.parent / "backups").iterdir()
    assert version(backup) == 1


async def test_steps_outlive_the_change_of_their_table(path: Path) -> None:
    first_version(path)
    with closing(connect(path)) as connection:
        connection.execute(
            "INSERT INTO step(task, turn, idx, kind, name, status, idempotent, output, attempt, started)"
            " VALUES(1, 1, 1, 'tool', 'exec', 'unknown', 0, x'7b7d', 2, 5)"
        )
    async with storage.open(path) as store:
        (step,) = await store.steps("task_1")
    assert (step.turn, step.index, step.name, step.status, step.output) == (1, 1, "exec", "unknown", b"{}")
    assert (step.attempt, step.retries, step.started) == (2, 0, 5)


@pytest.mark.slow
async def test_cr13_killed_in_any_statement_of_a_migration_the_next_start_completes_it(
    path: Path, tmp_path: Path
) -> None:
    first_version(path)
    whole, interrupted = path.read_bytes(), 0
    for number in range(0, 90, 5):
        home = tmp_path / f"kill{number}"
        home.mkdir(mode=0o700)
        (home / path.name).write_bytes(whole)
        done = subprocess.run([sys.executable, "-c", DYING, str(home / path.name), str(number)], timeout=30)
        assert version(home / path.name) in range(1, len(MIGRATIONS) + 1)
        async with storage.open(home / path.name) as store:
            assert store.loss is None
            assert len(await store.tasks()) == 2
        assert version(home / path.name) == len(MIGRATIONS)
        interrupted += done.returncode != 0
        if done.returncode == 0:
            break
    assert interrupted > 5


@pytest.mark.parametrize(
    "place", ["backups.copied", "backups.kept", "migrations.backed_up", "migrations.applied", "migrations.committed"]
)
async def test_cr13_killed_around_a_migration_the_next_start_completes_it(path: Path, place: str) -> None:
    first_version(path)
    environment = {"AUTOHANDS_FAILPOINT": place}
    done = subprocess.run([sys.executable, "-c", UPGRADE, str(path)], env=environment, timeout=30)
    assert done.returncode == -9
    async with storage.open(path) as store:
        assert len(await store.tasks()) == 2
    assert version(path) == len(MIGRATIONS)
    with tables(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
