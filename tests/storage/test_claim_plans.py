"""What the engine asks at each look, and what accepts, ends and promotes, goes by indexes: with 100,000 tasks it takes
no longer than with ten."""

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autohands.protocols.changes import Cancel, Enqueue, Finish, Pause, Redo
from autohands.protocols.queues import LimitQueues, QueueLimits
from autohands.protocols.task import Task
from autohands.storage import claims, endings, executors, interrupted, parking, resting, retention, sessions, tasks
from autohands.storage.changes import apply
from autohands.storage.claims import Scope, Sweep, Who
from autohands.storage.connection import connect
from autohands.storage.migrations import migrate
from autohands.storage.queues import _statuses
from autohands.storage.transaction import TaskKey, Transaction

WHO = Who("exe_me", executors.this_process())
# Small by their nature: programs that live, the queues there are, the rows of one task.
SMALL = ("(subquery-1)", "executor", "queue", "tally", "other", "e", "json_each", "family", "f", "below", "b")
ROWS = 400


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plans.db"
    path.touch()
    return path


@pytest.fixture
def connection(file: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(file)
    migrate(connection, file)
    yield connection
    connection.close()


class Asked:
    """The statements that a piece of work asks, with the plan of each."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.statements: list[str] = []

    def during(self, work: Callable[[Transaction], Any], now: int = 1_000_000) -> Any:
        """Do it in a transaction, listening."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.set_trace_callback(self.statements.append)
        try:
            return work(Transaction(self._connection, now))
        finally:
            self._connection.set_trace_callback(None)
            self._connection.execute("COMMIT")

    def scans(self) -> list[str]:
        """The steps of their plans that read a whole table or index, or sort what they read."""
        found = []
        for statement in dict.fromkeys(self.statements):
            if not statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                continue
            for *_, step in self._connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                if is_scan(step) and not ("B-TREE" in step and "json_each" in statement):  # a family is small
                    found.append(f"{step}: {statement}")
        return found


def is_scan(step: str) -> bool:
    words = step.split()
    if words[0] == "SCAN":
        return words[1] not in (*SMALL, "CONSTANT") and "task_lease" not in step  # that index has what runs alone
    return "TEMP B-TREE FOR ORDER BY" in step


def fill(asked: Asked, *, sessions: int, rows: int = ROWS) -> list[str]:
    """Tasks in so many sessions; some delayed, some with a deadline, some children. Their ids."""

    def work(tx: Transaction) -> list[str]:
        ids: list[str] = []
        for number in range(rows):
            task = Task(
                prompt="x",
                session=f"s{number % sessions}",
                not_before=2_000_000 if number % 7 == 3 else None,
                deadline=9_000_000 if number % 5 == 4 else None,
                after=(ids[-1],) if number % 11 == 10 else (),
                parent=ids[0] if number % 13 == 12 else None,
                priority="high" if number % 17 == 16 else 0,
            )
            ids.append(tasks.enqueue(tx, Enqueue(task=task)).id)
        return ids

    ids: list[str] = asked.during(work)
    return ids


def look(tx: Transaction, root: str | None = None) -> Sweep:
    return claims.sweep(tx, WHO, Scope(lambda: ("default", "background"), root), free=4, foreign=True)


@pytest.mark.parametrize("sessions", [1, 100])
@pytest.mark.parametrize("limited", [False, True])
def test_a_look_and_what_moves_tasks_reads_no_table_whole(
    connection: sqlite3.Connection, *, sessions: int, limited: bool
) -> None:
    asked = Asked(connection)
    if limited:
        limits = QueueLimits(name="default", concurrency=3, rate=100, depth=10_000)
        asked.during(lambda tx: apply(tx, LimitQueues(limits=(limits,))))
        asked.statements.clear()
    ids = fill(asked, sessions=sessions)
    connection.execute("ANALYZE")
    found: Sweep = asked.during(look)
    assert len(found.claimed) == min(sessions, 3 if limited else 4)
    assert (found.wanted or [])[0].control is None
    first = found.claimed[0].key
    asked.during(lambda tx: endings.finish(tx, Finish(state="done", reason="done"), first))
    for change in (Pause(task=ids[5]), Redo(task=ids[5]), Cancel(task=ids[2])):
        asked.during(partial(apply, change=change))
    asked.during(look, now=3_000_000)  # what was delayed is due
    asked.during(look, now=10_000_000)  # deadlines have passed
    asked.during(lambda tx: claims.resign(tx, WHO.id))
    assert asked.scans() == []


def test_a_look_for_one_task_and_its_family_reads_nothing_of_the_others(connection: sqlite3.Connection) -> None:
    asked = Asked(connection)
    ids = fill(asked, sessions=ROWS)
    connection.execute("ANALYZE")
    asked.statements.clear()
    for now in (1_000_000, 3_000_000, 10_000_000):
        asked.during(partial(look, root=ids[0]), now=now)
    assert asked.scans() == []
    steps = [
        step
        for statement in dict.fromkeys(asked.statements)
        if "json_each" in statement
        for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert sum(step.startswith("SEARCH task USING INTEGER PRIMARY KEY") for step in steps) > 5
    assert not [step for step in steps if step.startswith("SEARCH task USING INDEX")]


def test_what_is_asked_of_many_sessions_goes_by_indexes(connection: sqlite3.Connection) -> None:
    asked = Asked(connection)
    fill(asked, sessions=ROWS)
    connection.execute("ANALYZE")
    (session,) = asked.during(lambda tx: tx.connection.execute("SELECT max(id) FROM session").fetchone())
    asked.statements.clear()
    asked.during(lambda tx: sessions.get(tx.connection, session, "owner"))
    asked.during(lambda tx: sessions.get(tx.connection, session[:-1], "owner"))
    asked.during(lambda tx: sessions.get(tx.connection, "s1", "owner"))
    asked.during(lambda tx: tx.connection.execute(retention._OLD_SESSIONS, (5,)).fetchall())
    asked.during(lambda tx: tx.connection.execute(retention._SPARE_SESSIONS, (5,)).fetchall())
    plans = [
        step
        for statement in dict.fromkeys(asked.statements)
        for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert not [step for step in plans if "principal=?)" in step and "name" not in step]
    assert not [step for step in plans if "SCAN" in step and "session_age" not in step and step != "SCAN session"]
    assert not [step for step in plans if "TEMP B-TREE" in step]


def test_put_off_tasks_and_interrupted_ones_are_found_by_index(connection: sqlite3.Connection) -> None:
    asked = Asked(connection)
    fill(asked, sessions=50)
    connection.execute("ANALYZE")
    claimed = asked.during(look).claimed
    asked.during(lambda tx: resting.put_off(tx, claimed[0].key, "x"))
    asked.during(lambda tx: claims.abandon(tx, claimed[1].key))
    asked.during(lambda tx: parking.wake_if_due(tx, claimed[0].key))
    asked.during(lambda tx: interrupted.find(tx.connection, WHO.process, tx.now))
    assert asked.scans() == []


def test_a_list_of_queues_counts_no_tasks(connection: sqlite3.Connection) -> None:
    asked = Asked(connection)
    fill(asked, sessions=50)
    connection.execute("ANALYZE")
    assert asked.during(lambda tx: _statuses(tx.connection))[0].oldest == 1_000_000
    assert asked.scans() == []


def test_a_scan_is_seen(connection: sqlite3.Connection) -> None:
    asked = Asked(connection)
    fill(asked, sessions=50)
    asked.during(lambda tx: tx.connection.execute("SELECT id FROM task WHERE source = 'x'").fetchall())
    asked.during(lambda tx: tx.connection.execute("SELECT id FROM task WHERE parent = 'x' ORDER BY rank").fetchall())
    assert len(asked.scans()) == 2


def test_a_claim_takes_as_many_statements_with_many_tasks_as_with_few(connection: sqlite3.Connection) -> None:
    asked = Asked(connection)
    counts = []
    for rows in (10, ROWS):
        ids = fill(asked, sessions=rows, rows=rows)
        asked.statements.clear()
        (claimed, *_) = asked.during(look).claimed
        asked.during(partial(endings.end, change=Finish(state="done", reason="done"), task=claimed.key))
        counts.append(len(asked.statements))
        asked.during(lambda tx: claims.resign(tx, WHO.id))
        assert isinstance(claimed.key, TaskKey)
        assert ids
    assert counts[1] <= counts[0] + 2
