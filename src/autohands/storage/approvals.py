"""Questions to people, and their answers."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, Literal, TypeAlias

import msgspec

from autohands.protocols.changes import AskApproval, Decide
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.events import ApprovalDecided
from autohands.protocols.records import ApprovalRecord
from autohands.sdk.failpoint import failpoint
from autohands.storage import events, tasks, waits
from autohands.storage.transaction import TaskKey, Transaction

Decision: TypeAlias = Literal["allow", "deny", "expired"]

_FIELDS: Final = (
    *("id", "task", "turn", "index", "tool", "effect", "preview", "digest"),
    *("state", "by", "reason", "created", "expires", "rule"),
)
_SELECT: Final = (
    "SELECT a.id, t.id, a.turn, a.idx, a.tool, a.effect, a.preview, a.digest, a.state, a.decided_by, a.reason,"
    " a.created, a.expires, a.rule FROM approval a JOIN task t ON t.seq = a.task"
)


_encode: Final = msgspec.json.Encoder(order="sorted").encode
_rule: Final = msgspec.json.Decoder(dict[str, Any])


def _record(row: tuple[Any, ...]) -> ApprovalRecord:
    *values, rule = row
    return ApprovalRecord(**dict(zip(_FIELDS, values, strict=False)), rule=rule and _rule.decode(rule))


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
        "INSERT INTO approval(id, task, turn, idx, tool, effect, preview, digest, state, reason, created, expires,"
        " rule) VALUES(?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?) ON CONFLICT(id) DO NOTHING",
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
            None if asked.rule is None else _encode(asked.rule),
        ),
    )
    failpoint("approvals.asked")
    return get(tx.connection, asked.id)


def decide(tx: Transaction, change: Decide) -> ApprovalRecord:
    """Answer a question. Its task wakes when none of its questions is open any more.

    Raises:
        NotFound: There is no such approval. Conflict: It was answered otherwise, or has expired.
        BadRequest: It is to hold for the session, and no rule is offered for it.
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
    if change.for_session and change.decision == "allow":
        _permit(tx, record, task.session, change.by)
    failpoint("approvals.deciding")
    _close(tx, task, record.id, change.decision, change.by)
    failpoint("approvals.decided")
    if f"approval:{record.id}" in waits.waits_of(tx, task.seq) and not _open(tx, task.seq):
        waits.wake(tx, task.seq)
    return get(tx.connection, record.id)


def _permit(tx: Transaction, record: ApprovalRecord, session: str, by: str) -> None:
    if record.rule is None:
        raise BadRequest(
            f"no rule is offered for {record.id}", hint="such calls are looked at each time: allow it once"
        )
    tx.connection.execute(
        "INSERT INTO permission(session, rule, by, created) VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (session, _encode(record.rule), by, tx.now),
    )


def permitted(connection: sqlite3.Connection, session: str) -> list[dict[str, Any]]:
    """The rules that hold for a session, oldest first."""
    rows = connection.execute("SELECT rule FROM permission WHERE session = ? ORDER BY created", (session,))
    return [_rule.decode(rule) for (rule,) in rows]


def asked(connection: sqlite3.Connection, n: int) -> int | None:
    """When the n-th last question was put, in UTC ms."""
    query = "SELECT created FROM approval ORDER BY created DESC LIMIT 1 OFFSET ?"
    row = connection.execute(query, (n - 1,)).fetchone()
    return None if row is None else int(row[0])


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
