"""Tasks that wait without a coroutine: parked by their run, woken by time."""

from __future__ import annotations

from typing import Final

import msgspec

from autohands.protocols.storage import Park
from autohands.storage import approvals, endings, tasks, waits
from autohands.storage.transaction import TaskKey, Transaction

MOST_AT_ONCE: Final = 500
FAMILY: Final = "(:family IS NULL OR task.seq IN(SELECT value FROM json_each(:family)))"

_encode: Final = msgspec.json.Encoder().encode


def park(tx: Transaction, change: Park, task: TaskKey) -> None:
    """A running task → waiting; ready if what it waits for is there already, ended if it is to be cancelled."""
    (control,) = tx.connection.execute("SELECT control FROM task WHERE seq = ?", (task.seq,)).fetchone()
    if control == "cancel":
        endings.end(tx, endings.CANCELLED, task)
        return
    tx.connection.execute(
        "UPDATE task SET status = 'waiting', reason = ?, waits = ?, run_at = ?, lease_owner = NULL, updated = ?"
        " WHERE seq = ?",
        (change.reason, _encode(change.waits), _due(tx, change, task), tx.now, task.seq),
    )
    tx.ready = True
    if any(_came(tx, task, wait) for wait in change.waits):
        waits.wake(tx, task.seq)


def _due(tx: Transaction, change: Park, task: TaskKey) -> int | None:
    """When time alone wakes it: its own `until`, or the first of its questions to expire."""
    times = [change.until]
    if any(wait.startswith("approval:") for wait in change.waits):
        times.append(approvals.first_expiry(tx, task.seq))
    return min((time for time in times if time is not None), default=None)


def _came(tx: Transaction, task: TaskKey, wait: str) -> bool:
    kind, _, key = wait.partition(":")
    if kind == "approval":
        found = tx.connection.execute(
            "SELECT 1 FROM approval WHERE id = ? AND task = ? AND state <> 'pending'", (key, task.seq)
        )
    else:
        found = tx.connection.execute(
            "SELECT 1 FROM signal WHERE task = ? AND topic IN(?, ?) LIMIT 1",
            (task.seq, wait, key if kind == "signal" else wait),
        )
    return found.fetchone() is not None


def wake_due(tx: Transaction, family: str | None) -> None:
    """Delayed and waiting tasks whose time has come get ready; questions nobody answered expire."""
    due = tx.connection.execute(
        "SELECT seq, id, session, root, status FROM task WHERE status IN('delayed', 'waiting') AND run_at IS NOT NULL"
        f" AND run_at <= :now AND {FAMILY} ORDER BY run_at, seq LIMIT :most",
        {"now": tx.now, "family": family, "most": MOST_AT_ONCE},
    ).fetchall()
    for *key, status in due:
        task = TaskKey(*key)
        if status == "waiting":
            approvals.expire(tx, task)
            waits.wake(tx, task.seq)
        else:
            tx.connection.execute(
                "UPDATE task SET status = ?, updated = ? WHERE seq = ?",
                (tasks.place_in_line(tx, task.session), tx.now, task.seq),
            )


def wake_if_due(tx: Transaction, task: TaskKey) -> None:
    """Wake one waiting task if its time has come."""
    wake_due(tx, f"[{task.seq}]")


def next_due(tx: Transaction, family: str | None) -> int | None:
    """When the next delayed or waiting task is due, in UTC ms."""
    row = tx.connection.execute(
        f"SELECT min(run_at) FROM task WHERE status IN('delayed', 'waiting') AND run_at IS NOT NULL AND {FAMILY}",
        {"family": family},
    ).fetchone()
    at: int | None = row[0]
    return at
