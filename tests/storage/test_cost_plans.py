"""What money and sub-agents ask goes by indexes, and a file from before there were shares keeps what it has counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Enqueue, Finish, Reserve, Settle, Tell
from autohands.protocols.messages import Usage
from autohands.protocols.task import Task
from autohands.storage import costs, endings, ledger, signals, tasks
from autohands.storage.connection import connect
from autohands.storage.migrations import migrate
from autohands.storage.schema import MIGRATIONS
from storage.test_claim_plans import Asked

OLD_TASK = (
    "INSERT INTO task(seq, id, session, principal, source, queue, kind, agent, labels, root, request, rank, status,"
    " max_attempts, created, updated, occurrence) VALUES(1, 'task_1', 'ses_1', 'owner', 'schedule', 'default', 'agent',"
    " 'general', x'7b7d', 'task_1', CAST('{\"prompt\":\"go\"}' AS BLOB), 0, 'done', 5, 0, 0, 'nightly')"
)
OLD_LEDGER = (
    "INSERT INTO ledger(key, task, root, day, reserved, settled, created, updated)"
    " VALUES(?, 1, 'task_1', '2026-01-01', 100, ?, 0, 0)"
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "plans.db"
    path.touch()
    with closing(connect(path)) as connection:
        migrate(connection, path)
        yield connection


def test_no_statement_reads_a_table_whole(connection: sqlite3.Connection) -> None:
    asked = Asked(connection)
    top = asked.during(lambda tx: tasks.enqueue(tx, Enqueue(task=Task(prompt="top", agent="general"))))
    key = tasks.key_of(connection, top.id)
    caps: dict[str, int | None] = dict.fromkeys(("run_cap", "day_cap", "session_cap", "agent_cap"), 1000)
    reserve = Reserve(key="a", micro_usd=10, **caps)  # type: ignore[arg-type]
    assert asked.during(lambda tx: ledger.reserve(tx, reserve, key))
    asked.during(lambda tx: ledger.settle(tx, Settle(key="a", micro_usd=5, usage=Usage(1, 1), model="m"), key))
    child = asked.during(lambda tx: tasks.enqueue(tx, Enqueue(task=Task(prompt="part", parent=top.id))))
    asked.during(lambda tx: signals.tell(tx, Tell(task=child.id, parent=top.id, text="x", key="k")))
    own = tasks.key_of(connection, child.id)
    asked.during(lambda tx: endings.end(tx, Finish(state="failed", reason="failed"), own))
    asked.during(lambda tx: ledger.take_up(tx, own, 100))
    asked.during(lambda tx: costs.used(tx.connection, top.id))
    assert [each.record.id for each in asked.during(lambda tx: costs.children(tx.connection, top.id))] == [child.id]
    assert [scan for scan in asked.scans() if not scan.startswith("SCAN (subquery")] == []  # of one task's events


async def test_cr13_an_older_file_keeps_what_it_has_counted(tmp_path: Path) -> None:
    path = tmp_path / "home" / "autohands.db"
    path.parent.mkdir(mode=0o700)
    path.touch(0o600)
    with closing(connect(path)) as old:
        migrate(old, path, MIGRATIONS[:2])
        old.execute(
            "INSERT INTO session(id, principal, name, agent, created, updated)"
            " VALUES('ses_1', 'owner', 'one', 'general', 0, 0)"
        )
        old.execute(OLD_TASK)
        for call, settled in (("a", 40), ("b", None)):
            old.execute(OLD_LEDGER, (call, settled))
        old.execute("INSERT INTO purse VALUES('root:task_1', 140), ('day:2026-01-01', 140)")
    async with storage.open(path) as store:
        assert await store.spent("task_1") == 140
        for by, expected in (
            ("session", "ses_1"),
            ("agent", "general"),
            ("schedule", "nightly"),
            ("day", "2026-01-01"),
        ):
            (cost,) = await store.costs(by, "2026-01-01")  # type: ignore[arg-type]
            assert (cost.key, cost.spent, cost.reserved, cost.calls, cost.runs) == (expected, 40, 100, 2, 1)
    with closing(sqlite3.connect(path)) as file:
        kept = dict(file.execute("SELECT key, micro_usd FROM purse"))
    assert kept["session:ses_1"] == kept["agent:general:2026-01-01"] == kept["schedule:nightly:2026-01-01"] == 140
