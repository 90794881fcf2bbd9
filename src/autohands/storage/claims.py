"""Claims: which task runs next, and what becomes of those whose executor is gone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct

from autohands.protocols.changes import Finish, Redo
from autohands.protocols.errors import Conflict
from autohands.protocols.events import TaskQueued
from autohands.protocols.storage import Serve
from autohands.protocols.task import TaskRecord
from autohands.sdk.failpoint import failpoint
from autohands.storage import (
    deadlines,
    endings,
    events,
    executors,
    ledger,
    line,
    parking,
    queues,
    resting,
    signals,
    tasks,
    waits,
)
from autohands.storage.executors import Identity
from autohands.storage.parking import tasks_of
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

_CLAIM: Final = (
    "UPDATE task SET status = 'running', lease_owner = ?, lease_token = lease_token + 1, attempt = attempt + 1,"
    f" reason = NULL, updated = ? WHERE seq IN(SELECT value FROM json_each(?)) RETURNING {tasks.COLUMNS}, lease_token,"
    f" (SELECT max(seq) FROM event WHERE event.task = task.seq), {signals.UNREAD}"
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

    queues: Serve
    root: str | None = None


class Wanted(Struct, frozen=True):
    """What others want of a task that runs here."""

    task: str
    control: str | None
    spoken: bool


class Chosen(Struct):
    """The ready tasks that may start. `held` says that a limit of a queue keeps others back, until `opens_at` if that
    is known (UTC ms)."""

    tasks: list[int]
    held: bool = False
    opens_at: int | None = None


class Sweep(Struct):
    """What one look at the tables brought. `next_at` is when to look again at the latest, in UTC ms.

    `wanted` has all that run here, where that was asked for. `held` says that a limit keeps ready tasks back.
    """

    claimed: list[Claimed]
    wanted: list[Wanted] | None
    next_at: int | None
    held: bool
    root_ended: bool


def sweep(tx: Transaction, who: Who, scope: Scope, *, free: int, foreign: bool) -> Sweep:
    """End what is late, wake what is due, take over what was abandoned, claim at most `free` tasks.

    With `foreign`, also read what others want of those that run here.
    """
    failpoint("claims.sweeping")
    family = _family(tx, scope.root)
    deadline = deadlines.end_late(tx, family)
    parking.wake_due(tx, family)
    watch = _take_over(tx, who, family)
    chosen = _choose(tx, scope, family, free)
    return Sweep(
        claimed=_claim_all(tx, who, chosen),
        wanted=_wanted(tx, who) if foreign else None,
        next_at=_first(parking.next_due(tx, family), deadline, watch, chosen.opens_at),
        held=chosen.held,
        root_ended=scope.root is not None and _has_ended(tx, scope.root),
    )


def claim_ready(tx: Transaction, who: Who, scope: Scope, *, free: int) -> Sweep:
    """Claim at most `free` of the tasks that are ready. What time demands is left to `sweep`: it says only when, and
    claims nothing as long as a task is to be ended that is late."""
    late = deadlines.next_late(tx, None)
    chosen = _choose(tx, scope, None, 0 if late is not None and late <= tx.now else free)
    return Sweep(
        claimed=_claim_all(tx, who, chosen),
        wanted=None,
        next_at=_first(parking.next_due(tx, None), late, chosen.opens_at),
        held=chosen.held,
        root_ended=False,
    )


def _first(*times: int | None) -> int | None:
    return min((time for time in times if time is not None), default=None)


def _claim_all(tx: Transaction, who: Who, chosen: Chosen) -> list[Claimed]:
    if not chosen.tasks:
        return []
    executors.enlist(tx, who.id, who.process)
    rows = tx.connection.execute(_CLAIM, (who.id, tx.now, json.dumps(chosen.tasks))).fetchall()
    claimed = {each.key.seq: each for each in map(_claimed, rows)}
    failpoint("claims.claimed")
    return [each for seq in chosen.tasks if not _is_damaged(tx, each := claimed[seq])]


def _is_damaged(tx: Transaction, claimed: Claimed) -> bool:
    """Whether what a task asks cannot be read any more; then it is dead, and others go on."""
    task = claimed.record.task
    if task.kind != tasks.DAMAGED:
        return False
    endings.end(tx, Finish(state="dead", reason="failed", error=task.prompt), claimed.key)
    return True


def _family(tx: Transaction, root: str | None) -> str | None:
    if root is None:
        return None
    return json.dumps([seq for (seq,) in tx.connection.execute(_FAMILY, {"root": root})])


def _has_ended(tx: Transaction, task: str) -> bool:
    row = tx.connection.execute("SELECT ended FROM task WHERE id = ?", (task,)).fetchone()
    return row is None or row[0] is not None


def _choose(tx: Transaction, scope: Scope, family: str | None, most: int) -> Chosen:
    """The ready tasks that come first: smallest rank, then first accepted, as far as their queues let them start."""
    chosen, found, counted = Chosen([]), list[tuple[int, int, str]](), set[str]()
    if most <= 0:
        return chosen
    for queue in _queues(tx, scope, family):
        room = queues.room(tx, queue, most)
        if room.counted:
            counted.add(queue)
        ready = tx.connection.execute(
            f"SELECT rank, seq, queue FROM {tasks_of(family)} WHERE status = 'ready' AND queue = :queue"
            " ORDER BY rank, seq LIMIT :most",
            {"queue": queue, "family": family, "most": room.tasks + 1},
        ).fetchall()
        found += ready[: room.tasks]
        if len(ready) > room.tasks and room.tasks < most:
            chosen.held = True
            times = [time for time in (chosen.opens_at, room.opens_at) if time is not None]
            chosen.opens_at = min(times, default=None)
    first = sorted(found)[:most]
    for queue, count in Counter(queue for *_, queue in first if queue in counted).items():
        queues.start(tx, queue, count)
    chosen.tasks = [seq for _, seq, _ in first]
    return chosen


def _queues(tx: Transaction, scope: Scope, family: str | None) -> Iterable[str]:
    """The queues that are served."""
    if family is None:
        return dict.fromkeys(scope.queues())
    rows = tx.connection.execute(
        f"SELECT DISTINCT queue FROM {tasks_of(family)} WHERE status = 'ready'", {"family": family}
    ).fetchall()
    return [queue for (queue,) in rows]


def _claimed(row: Sequence[Any]) -> Claimed:
    *columns, token, last_seq, unread = row
    record = tasks.record_of(columns)
    key = TaskKey(record.seq, record.id, record.session, record.root)
    return Claimed(record, key, token, last_seq or 0, bool(unread))


def _wanted(tx: Transaction, who: Who) -> list[Wanted]:
    rows = tx.connection.execute(
        f"SELECT id, control, {signals.UNREAD} FROM task WHERE lease_owner = ? AND status = 'running'", (who.id,)
    )
    return [Wanted(task, control, bool(spoken)) for task, control, spoken in rows]


def _take_over(tx: Transaction, who: Who, family: str | None) -> int | None:
    """Take tasks from executors that are dead or late. When to look again, if others live."""
    times = []
    for other, process, lease_until in executors.others(tx, who.id):
        gone = executors.is_gone(process, who.process)
        if gone or lease_until <= tx.now:
            for key in _abandoned(tx, other, family):
                abandon(tx, key)
            executors.dismiss(tx, other)
        elif process != who.process:
            times.append(tx.now + WATCH_MS if process.host == who.process.host else lease_until)
    return min(times, default=None)


def _abandoned(tx: Transaction, executor: str, family: str | None) -> list[TaskKey]:
    rows = tx.connection.execute(
        f"SELECT seq, id, session, root FROM {tasks_of(family)} WHERE lease_owner = :executor AND status = 'running'"
        " ORDER BY seq",
        {"executor": executor, "family": family},
    ).fetchall()
    return [TaskKey(*row) for row in rows]


def abandon(tx: Transaction, task: TaskKey) -> None:
    """A running task whose executor is gone → ready, from the second time on after a while; whoever ran it is fenced
    off. Too often → dead."""
    (crashes,) = tx.connection.execute(
        "UPDATE task SET crashes = crashes + 1, lease_token = lease_token + 1 WHERE seq = ? RETURNING crashes",
        (task.seq,),
    ).fetchone()
    resting.put_off(tx, task, f"the program died while it ran this task; {crashes} attempts came to nothing", free=1)
    failpoint("claims.abandoned")


def resign(tx: Transaction, executor: str) -> None:
    """An executor stops: what it still holds is ready for another, and that is no crash of the task's."""
    for key in _abandoned(tx, executor, None):
        (control,) = tx.connection.execute(
            "UPDATE task SET lease_token = lease_token + 1 WHERE seq = ? RETURNING control", (key.seq,)
        ).fetchone()
        if control == "cancel":
            endings.end(tx, endings.CANCELLED, key)
        else:
            line.put_back(tx, key)
    executors.dismiss(tx, executor)


def redo(tx: Transaction, change: Redo) -> TaskRecord:
    """Take a task that is not done into a queue, to go on from its recorded steps.

    Raises:
        NotFound: There is no such task. Conflict: It is done or cancelled, or a living executor runs it.
    """
    key = tasks.key_of(tx.connection, change.task)
    status, owner, reason = tx.connection.execute(
        "SELECT status, lease_owner, reason FROM task WHERE seq = ?", (key.seq,)
    ).fetchone()
    if tasks.get(tx.connection, key.id).task.kind == tasks.DAMAGED:
        raise Conflict(f"what task {key.id} asks cannot be read any more", hint="ask for it anew")
    if status in ("done", "cancelled"):
        raise Conflict(f"task {key.id} is {status}", hint=f'say more with `autohands run --session {key.session} "…"`')
    if status in ("failed", "dead"):
        _revive(tx, key)
    elif status == "running":
        _free(tx, key, owner)
    elif status == "waiting" and reason == resting.BACKOFF:
        waits.wake(tx, key.seq)
    else:
        resting.resume(tx, key)
        parking.wake_if_due(tx, key)
    tasks.requeue(tx, key, change.queue, change.consent)
    for row in tx.connection.execute(_DESCENDANTS, {"root": key.id}).fetchall():
        tasks.requeue(tx, TaskKey(*row), change.queue, None)  # it waits for them: they go where it goes
    failpoint("claims.redone")
    tx.ready = True
    return tasks.get(tx.connection, key.id)


def _revive(tx: Transaction, task: TaskKey) -> None:
    tx.connection.execute(
        "UPDATE task SET status = ?, reason = NULL, control = NULL, text = NULL, error = NULL, crashes = 0,"
        " ended = NULL, updated = ? WHERE seq = ?",
        (tasks.place_in_line(tx, task.session), tx.now, task.seq),
    )
    ledger.take_up(tx, task, tasks.get(tx.connection, task.id).task.budget_micro_usd)
    # It follows `run.finished`, and says to readers that more is to come.
    events.append(tx, task, TaskQueued(source="redo"))


def _free(tx: Transaction, task: TaskKey, owner: str) -> None:
    """Take a task from an executor that is dead or late; from a living one, take back that it is to rest."""
    control, *found = tx.connection.execute(
        "SELECT control, host, boot, pid, born, lease_until FROM task LEFT JOIN executor ON executor.id = ?"
        " WHERE seq = ?",
        (owner, task.seq),
    ).fetchone()
    *process, lease_until = found
    if lease_until and lease_until > tx.now and not executors.is_gone(Identity(*process), executors.this_process()):
        if control == "pause":
            resting.resume(tx, task)
            return
        hint = f"wait for it, or `autohands task cancel {task.id}`"
        raise Conflict(f"task {task.id} is running, in process {process[2]}", hint=hint)
    tx.connection.execute("UPDATE task SET lease_token = lease_token + 1, control = NULL WHERE seq = ?", (task.seq,))
    line.put_back(tx, task)
