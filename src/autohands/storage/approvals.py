"""Questions to people, and their answers."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, Literal, TypeAlias

from autohands.protocols.changes import AskApproval, Decide
from autohands.protocols.errors import Conflict, NotFound
from autohands.protocols.events import ApprovalDecided
from autohands.protocols.records import ApprovalRecord
from autohands.sdk.failpoint import failpoint
from autohands.storage import events, tasks, waits
from autohands.storage.transaction import TaskKey, Transaction

Decision: TypeAlias = Literal["allow", "deny", "expired"]

_FIELDS: Final = (
    *("id", "task", "turn", "index", "tool", "effect", "preview", "digest"),
    *("state", "by", "reason", "created", "expires"),
)
_SELECT: Final = (
    "SELECT a.id, t.id, a.turn, a.idx, a.tool, a.effect, a.preview, a.digest, a.state, a.decided_by, a.reason,"
    " a.created, a.expires FROM approval a JOIN task t ON t.seq = a.task"
)


def _record(row: tuple[Any, ...]) -> ApprovalRecord:
    return ApprovalRecord(**dict(zip(_FIELDS, row, strict=True)))


def get(connection: sqlite3.Connection, approval: str) -> ApprovalRecord:
    """One approval.

    Raises:
        NotFound: There is none of that id.
    """
    row = connection.execute(f"{_SELECT} WHERE a.id = ?", (approval,)).fetchone()
    if row is None:
        raise NotFound(f"there is no approval {approval!r}")
    return _record(row)


def oldest(connection: sqlite3.Connection, task: str | None, *, pending: bool) -> list[ApprovalRecord]:
    """Approvals of a task or of all, oldest first; only open ones with `pending`."""
    conditions, values = ["1"], list[object]()
    if pending:
        conditions.append("a.state = 'pending'")
    if task is not None:
        conditions.append("a.task = (SELECT seq FROM task WHERE id = ?)")
        values.append(task)
    rows = connection.execute(f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY a.created, a.id", values)
    return [_record(row) for row in rows]


def ask(tx: Transaction, change: AskApproval, task: TaskKey) -> ApprovalRecord:
    """Put a question to a person; the same id again changes nothing."""
    asked = change.approval
    tx.connection.execute(
        "INSERT INTO approval(id, task, turn, idx, tool, effect, preview, digest, state, reason, created, expires)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?) ON CONFLICT(id) DO NOTHING",
        (
            asked.id,
            task.seq,
            asked.turn,
            asked.index,
            asked.tool,
            asked.effect,
            asked.preview,
            asked.digest,
            asked.reason,
            asked.created or tx.now,
            asked.expires,
        ),
    )
    failpoint("approvals.asked")
    return get(tx.connection, asked.id)


def decide(tx: Transaction, change: Decide) -> ApprovalRecord:
    """Answer a question. Its task wakes when none of its questions is open any more.

    Raises:
        NotFound: There is no such approval. Conflict: It was answered otherwise, or has expired.
    """
    record = get(tx.connection, change.approval)
    if record.state == change.decision:
        return record
    if record.state != "pending":
        by = f" by {record.by}" if record.by else ""
        raise Conflict(f"approval {record.id} is closed already: {record.state}{by}")
    if record.expires is not None and record.expires <= tx.now:
        raise Conflict(f"approval {record.id} has expired", hint="nobody answered in time, which is a denial")
    task = tasks.key_of(tx.connection, record.task)
    failpoint("approvals.deciding")
    _close(tx, task, record.id, change.decision, change.by)
    failpoint("approvals.decided")
    if f"approval:{record.id}" in waits.waits_of(tx, task.seq) and not _open(tx, task.seq):
        waits.wake(tx, task.seq)
    return get(tx.connection, record.id)


def expire(tx: Transaction, task: TaskKey) -> None:
    """Close a task's questions whose time is over."""
    due = tx.connection.execute(
        "SELECT id FROM approval WHERE task = ? AND state = 'pending' AND expires <= ? ORDER BY created, id",
        (task.seq, tx.now),
    ).fetchall()
    for (approval,) in due:
        _close(tx, task, approval, "expired", "")


def withdraw(tx: Transaction, task: int) -> None:
    """The task has ended: its open questions have no meaning any more."""
    tx.connection.execute("UPDATE approval SET state = 'expired' WHERE task = ? AND state = 'pending'", (task,))


def first_expiry(tx: Transaction, task: int) -> int | None:
    """When the first of a task's open questions expires, in UTC ms."""
    row = tx.connection.execute(
        "SELECT min(expires) FROM approval WHERE task = ? AND state = 'pending'", (task,)
    ).fetchone()
    expires: int | None = row[0]
    return expires


def _open(tx: Transaction, task: int) -> bool:
    found = tx.connection.execute("SELECT 1 FROM approval WHERE task = ? AND state = 'pending' LIMIT 1", (task,))
    return found.fetchone() is not None


def _close(tx: Transaction, task: TaskKey, approval: str, state: Decision, by: str) -> None:
    tx.connection.execute("UPDATE approval SET state = ?, decided_by = ? WHERE id = ?", (state, by, approval))
    events.append(tx, task, ApprovalDecided(approval=approval, decision=state, by=by))
