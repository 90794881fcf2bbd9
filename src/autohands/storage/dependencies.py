"""Tasks that do not begin before others have ended."""

from __future__ import annotations

from autohands.sdk.failpoint import failpoint
from autohands.storage import line
from autohands.storage.transaction import TaskKey, Transaction


def release(tx: Transaction, ended: TaskKey) -> None:
    """A task has ended, however: those that were only held back by it take their place."""
    tx.connection.execute("DELETE FROM dependency WHERE task = ?", (ended.seq,))
    held = tx.connection.execute("DELETE FROM dependency WHERE needs = ? RETURNING task", (ended.id,)).fetchall()
    for (task,) in sorted(held):
        row = tx.connection.execute(
            "SELECT seq, id, session, root FROM task WHERE seq = ? AND status = 'delayed'"
            " AND (run_at IS NULL OR run_at <= ?) AND NOT EXISTS(SELECT 1 FROM dependency d WHERE d.task = task.seq)",
            (task, tx.now),
        ).fetchone()
        if row:
            line.step_up(tx, TaskKey(*row))
    if held:
        failpoint("dependencies.released")


def holds(tx: Transaction, task: int) -> bool:
    """Whether a task that it is to come after has not ended."""
    return tx.connection.execute("SELECT 1 FROM dependency WHERE task = ? LIMIT 1", (task,)).fetchone() is not None
