"""A session's line: one task is its head, the others stand behind it in the order in which they came."""

from __future__ import annotations

from autohands.protocols.events import TaskWaiting
from autohands.storage import events, tasks
from autohands.storage.transaction import TaskKey, Transaction


def step_up(tx: Transaction, task: TaskKey) -> None:
    """A task that nothing delays any more takes its place in its session."""
    if tasks.place_in_line(tx, task.session) == "ready":
        _lead(tx, task)
    else:
        tx.connection.execute("UPDATE task SET status = 'blocked', updated = ? WHERE seq = ?", (tx.now, task.seq))


def promote(tx: Transaction, session: str) -> None:
    """The next task of a session becomes its head, if it has none."""
    row = tx.connection.execute(
        "SELECT seq, id, session, root FROM task INDEXED BY task_blocked"
        " WHERE session = ? AND status = 'blocked' ORDER BY seq LIMIT 1",
        (session,),
    ).fetchone()
    if row and tasks.place_in_line(tx, session) == "ready":
        _lead(tx, TaskKey(*row))


def _lead(tx: Transaction, task: TaskKey) -> None:
    """A task becomes its session's head.

    Its rank begins now: among the heads of sessions none is ahead for having waited behind its own.
    """
    tx.connection.execute("UPDATE task SET rank = ? - ahead WHERE seq = ?", (tx.now, task.seq))
    put_back(tx, task)


def put_back(tx: Transaction, task: TaskKey) -> None:
    """The head of a session that does not run, or not any more → ready, in its place; paused where somebody has asked
    for that meanwhile."""
    (status,) = tx.connection.execute(
        "UPDATE task SET status = iif(control = 'pause', 'paused', 'ready'),"
        " reason = iif(control = 'pause', 'paused', NULL), control = NULL, lease_owner = NULL, updated = ?"
        " WHERE seq = ? RETURNING status",
        (tx.now, task.seq),
    ).fetchone()
    tx.ready = True
    if status == "paused":
        events.append(tx, task, TaskWaiting(reason="paused"))
