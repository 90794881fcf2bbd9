"""Deadlines of tasks that do not run: one that passes ends them. A running task looks to its own."""

from __future__ import annotations

from typing import Final

from autohands.protocols.changes import Finish
from autohands.storage import endings
from autohands.storage.parking import MOST_AT_ONCE, tasks_of
from autohands.storage.transaction import TaskKey, Transaction

LATE: Final = Finish(state="failed", reason="time_limit", error="its deadline passed while it did not run")
_OPEN: Final = "deadline IS NOT NULL AND ended IS NULL AND status <> 'running'"


def end_late(tx: Transaction, family: str | None) -> int | None:
    """Tasks whose deadline has passed while they were delayed, blocked, ready, waiting or paused have failed. When the
    next one passes, in UTC ms."""
    at = next_late(tx, family)
    if at is None or at > tx.now:
        return at
    late = tx.connection.execute(
        f"SELECT seq, id, session, root FROM {tasks_of(family, 'task_deadline')}"
        f" WHERE {_OPEN} AND deadline <= :now ORDER BY deadline, seq LIMIT :most",
        {"now": tx.now, "family": family, "most": MOST_AT_ONCE},
    ).fetchall()
    for key in late:
        endings.end(tx, LATE, TaskKey(*key))
    return next_late(tx, family)


def next_late(tx: Transaction, family: str | None) -> int | None:
    """When the next deadline of a task that does not run passes, in UTC ms."""
    row = tx.connection.execute(
        f"SELECT deadline FROM {tasks_of(family, 'task_deadline')} WHERE {_OPEN} ORDER BY deadline LIMIT 1",
        {"family": family},
    ).fetchone()
    at: int | None = row[0] if row else None
    return at
