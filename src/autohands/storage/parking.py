"""Tasks that wait without a coroutine: parked by their run, woken by time."""

from __future__ import annotations

from typing import Final

import msgspec

from autohands.protocols.changes import Park
from autohands.protocols.events import TaskWaiting
from autohands.sdk.failpoint import failpoint
from autohands.storage import approvals, dependencies, endings, events, line, waits
from autohands.storage.resting import BACKOFF, PAUSED
from autohands.storage.transaction import TaskKey, Transaction

MOST_AT_ONCE: Final = 500
CLOCK_MS: Final = 2_000

_encode: Final = msgspec.json.Encoder().encode


def tasks_of(family: str | None, index: str = "") -> str:
    """Where tasks are looked for: among all, by an index if it is named, or among those of a family (JSON, the
    parameter `family`), each of them found by its number."""
    if family is None:
        return f"task INDEXED BY {index}" if index else "task"
    return "(SELECT value AS number FROM json_each(:family)) CROSS JOIN task ON task.seq = number"


def park(tx: Transaction, change: Park, task: TaskKey) -> None:
    """A running task → waiting; ready if what it waits for is there already, ended if it is to be cancelled.

    One that is to rest becomes paused, and keeps what it waits for. One that parks for nothing but that, after the
    pause was taken back, is ready.
    """
    (control,) = tx.connection.execute("SELECT control FROM task WHERE seq = ?", (task.seq,)).fetchone()
    if control == "cancel":
        endings.end(tx, endings.CANCELLED, task)
        return
    pausing, for_that_alone = control == "pause", change.reason == PAUSED
    tx.connection.execute(
        "UPDATE task SET status = ?, reason = ?, waits = ?, run_at = ?, control = NULL, lease_owner = NULL,"
        " updated = ? WHERE seq = ?",
        (
            "paused" if pausing else "waiting",
            change.reason,
            None if for_that_alone else _encode(change.waits),
            None if for_that_alone else _due(tx, change, task),
            tx.now,
            task.seq,
        ),
    )
    tx.ready = True
    if (for_that_alone and not pausing) or any(_came(tx, task, wait) for wait in change.waits):
        waits.wake(tx, task.seq)
    if pausing and not for_that_alone:
        events.append(tx, task, TaskWaiting(reason=PAUSED, waits=change.waits))
    failpoint("parking.parked")


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
    """Delayed and waiting tasks whose time has come get ready; questions nobody answered expire.

    A task that was put off later than now was so before the clock was put back: it has waited long enough.
    """
    bounds = {"now": tx.now, "family": family, "most": MOST_AT_ONCE}
    due = tx.connection.execute(
        f"SELECT seq, id, session, root, status FROM {tasks_of(family)} WHERE status IN('delayed', 'waiting')"
        " AND run_at IS NOT NULL AND run_at <= :now ORDER BY run_at, seq LIMIT :most",
        bounds,
    ).fetchall()
    due += tx.connection.execute(
        f"SELECT seq, id, session, root, status FROM {tasks_of(family, 'task_backoff')} WHERE status = 'waiting'"
        f" AND reason = '{BACKOFF}' AND updated > :now + {CLOCK_MS} AND run_at > :now LIMIT :most",
        bounds,
    ).fetchall()
    for *key, status in due:
        task = TaskKey(*key)
        failpoint("parking.due")
        if status == "waiting":
            approvals.expire(tx, task)
            waits.wake(tx, task.seq)
        elif dependencies.holds(tx, task.seq):
            tx.connection.execute("UPDATE task SET run_at = NULL, updated = ? WHERE seq = ?", (tx.now, task.seq))
        else:
            line.step_up(tx, task)


def wake_if_due(tx: Transaction, task: TaskKey) -> None:
    """Wake one waiting task if its time has come."""
    wake_due(tx, f"[{task.seq}]")


def next_due(tx: Transaction, family: str | None) -> int | None:
    """When the next delayed or waiting task is due, in UTC ms."""
    row = tx.connection.execute(
        f"SELECT min(run_at) FROM {tasks_of(family)} WHERE status IN('delayed', 'waiting') AND run_at IS NOT NULL",
        {"family": family},
    ).fetchone()
    at: int | None = row[0]
    return at
