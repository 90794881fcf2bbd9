"""Tasks that rest: paused by a person, or put off after a passing fault."""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from autohands.protocols.changes import BackOff, Finish, Pause
from autohands.protocols.errors import Conflict
from autohands.protocols.events import TaskWaiting
from autohands.protocols.task import END_STATES, TaskRecord
from autohands.sdk.failpoint import failpoint
from autohands.storage import endings, events, executors, line, tasks
from autohands.storage.transaction import TaskKey, Transaction

PAUSED: Final = "paused"
BACKOFF: Final = "backoff"
BACKOFF_WAITS: Final = ("timer:backoff",)
LONGEST_SECONDS: Final = 300.0

_encode: Final = msgspec.json.Encoder().encode


def pause(tx: Transaction, change: Pause) -> TaskRecord:
    """Let a task rest: one that runs at its next step boundary, one whose turn has not come when it comes, another at
    once.

    Raises:
        NotFound: There is no such task. Conflict: It has ended, or is being cancelled.
    """
    key = tasks.key_of(tx.connection, change.task)
    status, control, owner = tx.connection.execute(
        "SELECT status, control, lease_owner FROM task WHERE seq = ?", (key.seq,)
    ).fetchone()
    if status in END_STATES or control == "cancel":
        raise Conflict(f"task {key.id} is {'being cancelled' if control == 'cancel' else status}")
    if status in ("ready", "waiting") or (status == "running" and executors.has_gone(tx.connection, owner)):
        _rest(tx, key)
    elif status != PAUSED:
        tx.connection.execute("UPDATE task SET control = 'pause', updated = ? WHERE seq = ?", (tx.now, key.seq))
        if status == "running":
            tx.paused.append(key.id)
    failpoint("resting.paused")
    return tasks.get(tx.connection, key.id)


def _rest(tx: Transaction, task: TaskKey) -> None:
    """→ paused: what it waits for it keeps, and whoever may still run it is fenced off."""
    tx.connection.execute(
        "UPDATE task SET status = 'paused', reason = coalesce(reason, 'paused'), control = NULL, lease_owner = NULL,"
        " lease_token = lease_token + 1, updated = ? WHERE seq = ?",
        (tx.now, task.seq),
    )
    events.append(tx, task, TaskWaiting(reason=PAUSED))


def resume(tx: Transaction, task: TaskKey) -> None:
    """A paused task goes on: ready, or waiting for what has not come meanwhile. A pause that was only asked for is
    taken back."""
    tx.connection.execute(
        "UPDATE task SET status = CASE WHEN status <> 'paused' THEN status WHEN waits IS NULL THEN 'ready'"
        " ELSE 'waiting' END, reason = iif(status = 'paused' AND waits IS NULL, NULL, reason),"
        " control = iif(control = 'pause', NULL, control), updated = ? WHERE seq = ?",
        (tx.now, task.seq),
    )


def back_off(tx: Transaction, change: BackOff, task: TaskKey) -> bool:
    """A passing fault ended this attempt; False if it was the last one."""
    tx.connection.execute("UPDATE task SET crashes = crashes + 1 WHERE seq = ?", (task.seq,))
    return put_off(tx, task, change.error, change.delay_seconds or 0.0)


def put_off(tx: Transaction, task: TaskKey, error: str, least_seconds: float = 0.0, *, free: int = 0) -> bool:
    """A task whose attempt came to nothing waits, longer each time; cancelled where that was asked for, dead after too
    many; False then. The first `free` times it need not wait."""
    crashes, most, control = tx.connection.execute(
        "SELECT crashes, max_attempts, control FROM task WHERE seq = ?", (task.seq,)
    ).fetchone()
    if control == "cancel":
        endings.end(tx, endings.CANCELLED, task)
        return False
    if crashes >= most:
        endings.end(tx, Finish(state="dead", reason="attempts", error=error), task)
        return False
    if crashes <= free:
        line.put_back(tx, task)
        return True
    seconds = max(delay_seconds(task.id, crashes - free), least_seconds)
    tx.connection.execute(
        "UPDATE task SET status = iif(control = 'pause', 'paused', 'waiting'), reason = ?, waits = ?, run_at = ?,"
        " error = ?, control = NULL, lease_owner = NULL, updated = ? WHERE seq = ?",
        (BACKOFF, _encode(BACKOFF_WAITS), tx.now + round(seconds * 1000), error, tx.now, task.seq),
    )
    events.append(tx, task, TaskWaiting(reason=PAUSED if control == "pause" else BACKOFF, waits=BACKOFF_WAITS))
    tx.ready = True
    failpoint("resting.backed_off")
    return True


def delay_seconds(task: str, time: int) -> float:
    """How long a task waits the `time`-th time (from 1): twice as long each time, at most five minutes, and between
    half of that and all of it, so that tasks that fell together do not come back together. The same for the same."""
    whole = min(2.0 ** min(time - 1, 30), LONGEST_SECONDS)
    return whole * (0.5 + zlib.crc32(f"{task}:{time}".encode()) / 2**33)
