"""Claims: which task runs next, and what becomes of those whose executor is gone."""

from __future__ import annotations

import json
from typing import Final

from msgspec import Struct

from autohands.protocols.errors import Conflict
from autohands.protocols.events import TaskQueued
from autohands.protocols.storage import Finish, Redo
from autohands.protocols.task import TaskRecord
from autohands.storage import endings, events, executors, parking, signals, tasks
from autohands.storage.executors import Identity
from autohands.storage.parking import FAMILY
from autohands.storage.transaction import TaskKey, Transaction

WATCH_MS: Final = 1_000

# A task, its descendants, and the unfinished tasks before it in its session with theirs.
_FAMILY: Final = (
    "WITH RECURSIVE family(id) AS ("
    " SELECT id FROM task WHERE id = :root"
    " UNION SELECT p.id FROM task p JOIN task r ON r.id = :root"
    "  WHERE p.session = r.session AND p.seq < r.seq AND p.ended IS NULL"
    " UNION SELECT t.id FROM task t JOIN family f ON t.parent = f.id)"
    " SELECT seq FROM task WHERE id IN family"
)

_DESCENDANTS: Final = (
    "WITH RECURSIVE below(id) AS (SELECT id FROM task WHERE parent = :root"
    " UNION SELECT t.id FROM task t JOIN below b ON t.parent = b.id)"
    " SELECT seq, id, session, root FROM task WHERE id IN below AND ended IS NULL"
)


class Claimed(Struct, frozen=True):
    """A task that was claimed: its fencing token, its last event's seq, and whether words wait for it."""

    record: TaskRecord
    key: TaskKey
    token: int
    last_seq: int
    unread: bool


class Who(Struct, frozen=True):
    """An executor and the process it lives in."""

    id: str
    process: Identity


class Scope(Struct, frozen=True):
    """What an executor serves: queues, or (whatever their queue) one task and what belongs to it."""

    queues: tuple[str, ...]
    root: str | None = None


class Sweep(Struct):
    """What one look at the tables brought. `next_at` is when to look again at the latest, in UTC ms."""

    claimed: list[Claimed]
    cancelled: list[str]
    spoken: list[str]
    next_at: int | None
    root_ended: bool


def sweep(tx: Transaction, who: Who, scope: Scope, *, free: int, foreign: bool) -> Sweep:
    """Wake what is due, take over what was abandoned, claim at most `free` tasks.

    With `foreign`, also read what other processes want of those that run here.
    """
    family = _family(tx, scope.root)
    parking.wake_due(tx, family)
    watch = _take_over(tx, who, family)
    candidates = _candidates(tx, scope, family, free)
    if candidates:
        executors.enlist(tx, who.id, who.process)
    claimed = [_claim(tx, who, seq) for seq in candidates]
    times = [time for time in (parking.next_due(tx, family), watch) if time is not None]
    return Sweep(
        claimed=claimed,
        cancelled=_ours(tx, who, "control = 'cancel'") if foreign else [],
        spoken=_ours(tx, who, signals.UNREAD) if foreign else [],
        next_at=min(times, default=None),
        root_ended=scope.root is not None and _has_ended(tx, scope.root),
    )


def _family(tx: Transaction, root: str | None) -> str | None:
    if root is None:
        return None
    return json.dumps([seq for (seq,) in tx.connection.execute(_FAMILY, {"root": root})])


def _has_ended(tx: Transaction, task: str) -> bool:
    row = tx.connection.execute("SELECT ended FROM task WHERE id = ?", (task,)).fetchone()
    return row is None or row[0] is not None


def _candidates(tx: Transaction, scope: Scope, family: str | None, most: int) -> list[int]:
    """The ready tasks that come first: smallest rank, then first accepted."""
    if most <= 0:
        return []
    found: list[tuple[int, int]] = []
    for queue in scope.queues if family is None else (None,):
        found += tx.connection.execute(
            "SELECT rank, seq FROM task WHERE status = 'ready'"
            + (" AND queue = :queue" if family is None else f" AND {FAMILY}")
            + " ORDER BY rank, seq LIMIT :most",
            {"queue": queue, "family": family, "most": most},
        )
    return [seq for _, seq in sorted(found)[:most]]


def _claim(tx: Transaction, who: Who, seq: int) -> Claimed:
    tx.connection.execute(
        "UPDATE task SET status = 'running', lease_owner = ?, lease_token = lease_token + 1, attempt = attempt + 1,"
        " reason = NULL, updated = ? WHERE seq = ?",
        (who.id, tx.now, seq),
    )
    *row, token, last_seq = tx.connection.execute(
        f"SELECT {tasks.COLUMNS}, lease_token, (SELECT max(seq) FROM event WHERE event.task = task.seq)"
        " FROM task WHERE seq = ?",
        (seq,),
    ).fetchone()
    record = tasks.record_of(row)
    key = TaskKey(seq, record.id, record.session, record.root)
    return Claimed(record, key, token, last_seq or 0, signals.unread(tx, seq))


def _ours(tx: Transaction, who: Who, condition: str) -> list[str]:
    rows = tx.connection.execute(
        f"SELECT id FROM task WHERE lease_owner = ? AND status = 'running' AND {condition}", (who.id,)
    )
    return [str(task) for (task,) in rows]


def _take_over(tx: Transaction, who: Who, family: str | None) -> int | None:
    """Take tasks from executors that are dead or late. When to look again, if others live."""
    times = []
    for other, process, lease_until in executors.others(tx, who.id):
        gone = executors.is_gone(process, who.process)
        if gone or lease_until <= tx.now:
            for key in _abandoned(tx, other, family):
                abandon(tx, key)
        elif process != who.process:
            times.append(tx.now + WATCH_MS if process.host == who.process.host else lease_until)
        if gone:
            executors.dismiss(tx, other)
    return min(times, default=None)


def _abandoned(tx: Transaction, executor: str, family: str | None) -> list[TaskKey]:
    rows = tx.connection.execute(
        "SELECT seq, id, session, root FROM task WHERE lease_owner = :executor AND status = 'running'"
        f" AND {FAMILY} ORDER BY seq",
        {"executor": executor, "family": family},
    ).fetchall()
    return [TaskKey(*row) for row in rows]


def abandon(tx: Transaction, task: TaskKey) -> None:
    """A running task whose executor is gone → ready, and whoever ran it is fenced off. Too often → dead."""
    control, crashes, most = tx.connection.execute(
        "UPDATE task SET crashes = crashes + 1, lease_token = lease_token + 1 WHERE seq = ?"
        " RETURNING control, crashes, max_attempts",
        (task.seq,),
    ).fetchone()
    if control == "cancel":
        endings.end(tx, endings.CANCELLED, task)
    elif crashes >= most:
        error = f"the program died {crashes} times while it ran this task"
        endings.end(tx, Finish(state="dead", reason="attempts", error=error), task)
    else:
        _release(tx, task.seq)


def _release(tx: Transaction, task: int) -> None:
    tx.connection.execute(
        "UPDATE task SET status = 'ready', lease_owner = NULL, updated = ? WHERE seq = ?", (tx.now, task)
    )
    tx.ready = True


def resign(tx: Transaction, executor: str) -> None:
    """An executor stops: what it still holds is ready for another, and that is no crash of the task's."""
    for key in _abandoned(tx, executor, None):
        (control,) = tx.connection.execute(
            "UPDATE task SET lease_token = lease_token + 1 WHERE seq = ? RETURNING control", (key.seq,)
        ).fetchone()
        if control == "cancel":
            endings.end(tx, endings.CANCELLED, key)
        else:
            _release(tx, key.seq)
    executors.dismiss(tx, executor)


def redo(tx: Transaction, change: Redo) -> TaskRecord:
    """Take a task that is not done into a queue, to go on from its recorded steps.

    Raises:
        NotFound: There is no such task. Conflict: It is done or cancelled, or a living executor runs it.
    """
    key = tasks.key_of(tx.connection, change.task)
    status, owner = tx.connection.execute("SELECT status, lease_owner FROM task WHERE seq = ?", (key.seq,)).fetchone()
    if status in ("done", "cancelled"):
        raise Conflict(f"task {key.id} is {status}", hint=f'say more with `autohands run --session {key.session} "…"`')
    if status == "running":
        _free(tx, key, owner)
    elif status in ("failed", "dead", "paused"):
        _revive(tx, key, ended=status != "paused")
    elif status == "waiting":
        parking.wake_if_due(tx, key)
    tasks.requeue(tx, key, change.queue, change.consent)
    for row in tx.connection.execute(_DESCENDANTS, {"root": key.id}).fetchall():
        tasks.requeue(tx, TaskKey(*row), change.queue, None)  # it waits for them: they go where it goes
    tx.ready = True
    return tasks.get(tx.connection, key.id)


def _revive(tx: Transaction, task: TaskKey, *, ended: bool) -> None:
    tx.connection.execute(
        "UPDATE task SET status = ?, reason = NULL, control = NULL, text = NULL, error = NULL, crashes = 0,"
        " ended = NULL, updated = ? WHERE seq = ?",
        (tasks.place_in_line(tx, task.session) if ended else "ready", tx.now, task.seq),
    )
    if ended:  # it follows `run.finished`, and says to readers that more is to come
        events.append(tx, task, TaskQueued(source="redo"))


def _free(tx: Transaction, task: TaskKey, owner: str) -> None:
    """Take a task from an executor that is dead or late."""
    row = tx.connection.execute(
        "SELECT host, boot, pid, born, lease_until FROM executor WHERE id = ?", (owner,)
    ).fetchone()
    if row is not None:
        *process, lease_until = row
        if lease_until > tx.now and not executors.is_gone(Identity(*process), executors.this_process()):
            hint = f"wait for it, or `autohands task cancel {task.id}`"
            raise Conflict(f"task {task.id} is running, in process {process[2]}", hint=hint)
    tx.connection.execute("UPDATE task SET lease_token = lease_token + 1, control = NULL WHERE seq = ?", (task.seq,))
    _release(tx, task.seq)
