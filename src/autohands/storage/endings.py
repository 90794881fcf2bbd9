"""How tasks end: finished by their run, cancelled, or given up."""

from __future__ import annotations

from typing import Final

from autohands.protocols.changes import Cancel, Finish
from autohands.protocols.events import RunFinished
from autohands.protocols.task import TaskRecord
from autohands.sdk.failpoint import failpoint
from autohands.storage import (
    approvals,
    dependencies,
    events,
    executors,
    holds,
    ledger,
    line,
    outbox,
    schedules,
    signals,
    steps,
    tasks,
)
from autohands.storage.transaction import TaskKey, Transaction

CANCELLED: Final = Finish(state="cancelled", reason="cancelled")


def finish(tx: Transaction, change: Finish, task: TaskKey) -> bool:
    """End a running task; False, and nothing done, where unread words forbid it."""
    if change.unless_words and signals.unread(tx, task.seq):
        tx.spoken.append(task.id)
        return False
    end(tx, change, task)
    return True


def end(tx: Transaction, change: Finish, task: TaskKey) -> None:
    """The one way into an end state: the row, `run.finished`, the parent's signal, the session's next task."""
    parent, occurrence, address = tx.connection.execute(
        "UPDATE task SET status = ?, reason = ?, text = ?, error = ?, waits = NULL, run_at = NULL, lease_owner = NULL,"
        " updated = ?, ended = ? WHERE seq = ? RETURNING parent, occurrence, reply_address",
        (change.state, change.reason, change.text, change.error, tx.now, tx.now, task.seq),
    ).fetchone()
    failpoint("endings.ending")
    approvals.withdraw(tx, task.seq)
    holds.release(tx, task.seq)
    turns, usage = steps.totals(tx.connection, task.seq)
    finished = RunFinished(
        reason=change.reason,
        text=change.text,
        error=change.error,
        turns=turns,
        usage=usage,
        micro_usd=ledger.cost_of(tx.connection, task.seq),
    )
    events.append(tx, task, finished)
    if parent is not None:
        ledger.give_back(tx, task)
        _tell_parent(tx, change, task, parent)
    if occurrence is not None:
        schedules.ended(tx, change, task)
    if address is not None:
        outbox.reply(tx, change, task)
    tx.kinds.add("ended")
    line.promote(tx, task.session)
    dependencies.release(tx, task)
    failpoint("endings.ended")


def _tell_parent(tx: Transaction, change: Finish, task: TaskKey, parent: str) -> None:
    row = tx.connection.execute("SELECT seq FROM task WHERE id = ?", (parent,)).fetchone()
    if row:
        outcome = {"state": change.state, "reason": change.reason, "text": change.text, "error": change.error}
        signals.deliver(tx, row[0], f"child:{task.id}", outcome)


def cancel(tx: Transaction, change: Cancel) -> TaskRecord:
    """Cancel a task and its descendants: those that run are stopped by their executor, the others (and those
    whose executor is dead) end at once.

    Raises:
        NotFound: There is no such task.
    """
    _cancel(tx, tasks.key_of(tx.connection, change.task), change.by)
    return tasks.get(tx.connection, change.task)


def _cancel(tx: Transaction, task: TaskKey, by: str) -> None:
    children = tx.connection.execute(
        "SELECT seq, id, session, root FROM task WHERE parent = ? AND ended IS NULL ORDER BY seq", (task.id,)
    ).fetchall()
    status, owner = tx.connection.execute("SELECT status, lease_owner FROM task WHERE seq = ?", (task.seq,)).fetchone()
    if status == "running" and not executors.has_gone(tx.connection, owner):
        tx.connection.execute("UPDATE task SET control = 'cancel', updated = ? WHERE seq = ?", (tx.now, task.seq))
        tx.cancelled.append(task.id)
        failpoint("endings.cancelling")
    elif status in ("running", "delayed", "blocked", "ready", "waiting", "paused"):
        end(tx, Finish(state="cancelled", reason="cancelled", error=f"cancelled by {by}" if by else ""), task)
    for row in children:
        _cancel(tx, TaskKey(*row), by)
