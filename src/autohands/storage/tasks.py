"""Tasks: accepted, found, listed."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autohands.protocols.changes import Enqueue
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.events import TaskQueued
from autohands.protocols.task import PRIORITIES, Consent, Task, TaskRecord, TaskState
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id
from autohands.storage import events, ledger, queues, sessions, waits
from autohands.storage.sessions import Entered
from autohands.storage.transaction import TaskKey, Transaction
from autohands.storage.workspaces import Place

DAMAGED: Final = "damaged"
MINUTE_MS: Final = 60_000
SHORTEST_PREFIX: Final = 8
_FIELDS: Final = (
    *("id", "seq", "state", "session", "task", "attempt", "reason", "control", "error", "text", "root"),
    *("turns", "run_at", "created", "updated", "ended", "crashes", "waits", "forked_from", "forked_turn"),
)
COLUMNS: Final = (
    "id, seq, status, session, request, attempt, reason, control, error, text, root,"
    " (SELECT max(turn) FROM step WHERE step.task = task.seq), run_at, created, updated, ended, crashes, waits,"
    " forked_from, forked_turn"
)
_INSERT: Final = (
    "INSERT INTO task(id, session, principal, source, idempotency_key, body_hash, queue, kind, agent, labels,"
    " reply_address, correlation, deadline, parent, root, depth, request, rank, ahead, run_at, status, max_attempts,"
    " created, updated, purse) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_task: Final = msgspec.json.Decoder(Task)


class Placed(Struct, frozen=True):
    """An `Enqueue` whose workspace has been looked up."""

    task: Task
    place: Place | None
    depth: int = 8
    children: int = 1000
    descendants: int = 10_000


class Branch(Struct, frozen=True):
    """Where in a tree of tasks a new one hangs: its root, how many stand above it, and what it spends from."""

    root: str
    depth: int = 0
    purse: str | None = None


def _request(data: bytes) -> Task:
    """What was asked; of a damaged row, that it is damaged: one such must not hide the others."""
    try:
        return _task.decode(data)
    except msgspec.DecodeError as error:
        return Task(prompt=f"(what was asked cannot be read any more: {error})", kind=DAMAGED)


def record_of(row: Sequence[Any]) -> TaskRecord:
    """The record of a row of `COLUMNS`."""
    values = dict(zip(_FIELDS, row, strict=True))
    values["task"] = _request(values["task"])
    values["waits"] = waits.decode(values["waits"])
    values["turns"], values["run_at"] = values["turns"] or 0, values["run_at"] or 0
    return TaskRecord(**values)


def get(connection: sqlite3.Connection, task: str) -> TaskRecord:
    """A task by its id.

    Raises:
        NotFound: There is none.
    """
    row = connection.execute(f"SELECT {COLUMNS} FROM task WHERE id = ?", (task,)).fetchone()
    if row is None:
        raise missing(connection, task)
    return record_of(row)


def find(connection: sqlite3.Connection, task: str) -> TaskRecord:
    """A task by its id, or by the beginning of one.

    Raises:
        NotFound: None or several begin so; the nearest ids are given.
    """
    if len(task) < SHORTEST_PREFIX:
        return get(connection, task)
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM task WHERE id >= ? AND id < ? ORDER BY id LIMIT 4", (task, task + "\U0010ffff")
    ).fetchall()
    exact = [row for row in rows if row[0] == task] or rows
    if len(exact) > 1:
        raise NotFound(f"several tasks begin with {task!r}", hint=", ".join(str(row[0]) for row in exact))
    if not exact:
        raise missing(connection, task)
    return record_of(exact[0])


def missing(connection: sqlite3.Connection, task: str) -> NotFound:
    """The error for a task that is not there, with the ids that look like it."""
    from difflib import get_close_matches

    known = [str(near) for (near,) in connection.execute("SELECT id FROM task ORDER BY seq DESC LIMIT 200")]
    near = get_close_matches(task, known, n=3, cutoff=0.7)
    return NotFound(f"there is no task {task!r}", hint=f"did you mean {', '.join(near)}?" if near else None)


def key_of(connection: sqlite3.Connection, task: str) -> TaskKey:
    """What names a task in the tables.

    Raises:
        NotFound: There is none.
    """
    row = connection.execute("SELECT seq, id, session, root FROM task WHERE id = ?", (task,)).fetchone()
    if row is None:
        raise missing(connection, task)
    return TaskKey(*row)


def newest(
    connection: sqlite3.Connection, session: str | None, states: Sequence[TaskState], limit: int
) -> list[TaskRecord]:
    """Tasks of a session or of all, in one of `states` or in any, newest first."""
    conditions, values = [], list[object]()
    if session is not None:
        conditions.append("session = ?")
        values.append(session)
    if states:
        conditions.append(f"status IN({', '.join('?' * len(states))})")
        values.extend(states)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = connection.execute(f"SELECT {COLUMNS} FROM task{where} ORDER BY seq DESC LIMIT ?", (*values, limit))
    return [record_of(row) for row in rows]


def ended(connection: sqlite3.Connection, after: tuple[int, int], limit: int) -> list[TaskRecord]:
    """Tasks that ended later than `after` (UTC ms and `seq`), in that order."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM task WHERE ended IS NOT NULL AND (ended, seq) > (?, ?) ORDER BY ended, seq LIMIT ?",
        (*after, limit),
    )
    return [record_of(row) for row in rows]


def enqueue(tx: Transaction, change: Enqueue | Placed) -> TaskRecord:
    """Accept a task: its row, its session, `task.queued`.

    Raises:
        BadRequest: It makes no sense, or the tree it belongs to may not grow further.
        NotFound: Its session, its parent or a task that it is to come after is not there.
        Conflict: Its idempotency key was used with another body, or its session works elsewhere.
        TooBusy: Its queue is full.
    """
    task, place, body_hash = change.task, change.place if isinstance(change, Placed) else None, None
    if task.idempotency_key is not None:
        body_hash = _hash(task)
        if known := _known(tx, task, body_hash):
            return known
    queues.admit(tx, task.queue)
    task_id = _new_id(tx, task)
    branch = _branch(tx, task, change) or Branch(task_id)
    needs = _unfinished(tx, task)
    share = _share(tx, task, task_id)
    budget = task.budget_micro_usd if share.micro_usd is None else share.micro_usd
    stored, branch = replace(task, id=task_id, budget_micro_usd=budget), replace(branch, purse=share.purse)
    record = _insert(tx, stored, branch, sessions.enter(tx, task, place), body_hash, needs)
    failpoint("tasks.accepted")
    tx.ready = True
    queued = TaskQueued(prompt=task.prompt, source=task.source)
    events.append(tx, TaskKey(record.seq, task_id, record.session, branch.root), queued, seq=1)
    return record


def _share(tx: Transaction, task: Task, task_id: str) -> ledger.Share:
    if task.parent is None:
        return ledger.Share(f"root:{task_id}")
    return ledger.share(tx, task.parent, task_id, task.budget_micro_usd)


def _insert(
    tx: Transaction, task: Task, branch: Branch, session: Entered, body_hash: bytes | None, needs: Sequence[str]
) -> TaskRecord:
    stored = replace(task, session=session.id, workspace=session.workspace or None)
    ahead, held = _priority(task) * MINUTE_MS, bool(needs)
    row = (
        *(task.id, session.id, task.principal, task.source, task.idempotency_key, body_hash, task.queue, task.kind),
        *(task.agent, _encode(task.labels), task.reply_address, task.correlation, task.deadline, task.parent),
        *(branch.root, branch.depth, _encode(stored), tx.now - ahead, ahead, run_at := _due(tx, task, held=held)),
        *(state := _first_state(tx, task, session, held=held), max(task.max_attempts, 1), tx.now, tx.now),
        branch.purse,
    )
    seq = tx.connection.execute(_INSERT, row).lastrowid
    assert seq is not None
    if needs:
        tx.connection.executemany("INSERT INTO dependency(task, needs) VALUES(?, ?)", [(seq, each) for each in needs])
    return TaskRecord(
        id=task.id,
        seq=seq,
        state=state,
        session=session.id,
        task=stored,
        root=branch.root,
        run_at=run_at or 0,
        created=tx.now,
        updated=tx.now,
    )


def _hash(task: Task) -> bytes:
    """What is asked for. Who serves it, and what its parent may by now, is no part of that."""
    tools = task.tools if task.parent is None else None
    return hashlib.sha256(_encode(replace(task, queue="", consent="ask", tools=tools))).digest()


def _known(tx: Transaction, task: Task, body_hash: bytes) -> TaskRecord | None:
    row = tx.connection.execute(
        "SELECT id, body_hash FROM task WHERE principal = ? AND source = ? AND idempotency_key = ?",
        (task.principal, task.source, task.idempotency_key),
    ).fetchone()
    if row is None:
        return None
    if row[1] != body_hash:
        raise Conflict(
            f"the idempotency key {task.idempotency_key!r} was used with another body, for {row[0]}",
            hint="use a new key for a new request",
        )
    failpoint("tasks.known")
    return get(tx.connection, row[0])


def _priority(task: Task) -> int:
    priority = PRIORITIES.get(task.priority) if isinstance(task.priority, str) else task.priority
    if priority is None or not -60 <= priority <= 60:
        raise BadRequest(
            f"priority {task.priority!r} is unknown", hint=f"use {', '.join(PRIORITIES)}, or a number from -60 to 60"
        )
    return priority


def _new_id(tx: Transaction, task: Task) -> str:
    if not task.id:
        return new_id("task")
    if not _ID.fullmatch(task.id):
        raise BadRequest(f"{task.id[:200]!r} cannot be a task's id", hint="leave it out")
    if tx.connection.execute("SELECT 1 FROM task WHERE id = ?", (task.id,)).fetchone():
        raise Conflict(f"there is a task {task.id!r} already", hint="leave the id out")
    return task.id


def _branch(tx: Transaction, task: Task, limits: Enqueue | Placed) -> Branch | None:
    """Where a child hangs; None for a task without a parent."""
    if task.parent is None:
        return None
    row = tx.connection.execute(
        "SELECT root, depth + 1, (SELECT count(*) FROM (SELECT 1 FROM task WHERE parent = ?1 LIMIT ?2)),"
        " EXISTS(SELECT 1 FROM task t WHERE t.root = p.root AND t.parent IS NOT NULL LIMIT 1 OFFSET ?4 - 1)"
        " FROM task p WHERE id = ?1 AND principal = ?3",
        (task.parent, limits.children, task.principal, limits.descendants),
    ).fetchone()
    if row is None:
        raise missing(tx.connection, task.parent)
    root, depth, children, is_full = row
    if depth > limits.depth:
        raise BadRequest(
            f"task {task.parent} cannot start another: tasks may start tasks {limits.depth} deep, and it is the last",
            hint="do it in the task itself, or raise [limits] depth",
        )
    if children >= limits.children:
        raise BadRequest(
            f"task {task.parent} has started {children:,} tasks, as many as one may",
            hint="give the work to fewer tasks, or raise [limits] children",
        )
    if is_full:
        raise BadRequest(
            f"the work of {root} has started {limits.descendants:,} tasks in all, as many as it may",
            hint="give the work to fewer tasks, or raise [limits] descendants",
        )
    return Branch(root, depth)


def _unfinished(tx: Transaction, task: Task) -> list[str]:
    """Those of the tasks named in `after` that have not ended.

    Raises:
        NotFound: One of them is not there.
    """
    found = []
    for other in dict.fromkeys(task.after):
        row = tx.connection.execute(
            "SELECT ended FROM task WHERE id = ? AND principal = ?", (other, task.principal)
        ).fetchone()
        if row is None:
            raise missing(tx.connection, other)
        if row[0] is None:
            found.append(other)
    return found


def _due(tx: Transaction, task: Task, *, held: bool) -> int | None:
    """When time alone lets it begin; None for one that is only held back by others."""
    if held and (task.not_before or 0) <= tx.now:
        return None
    return max(task.not_before or 0, tx.now)


def _first_state(tx: Transaction, task: Task, session: Entered, *, held: bool) -> TaskState:
    if held or (task.not_before or 0) > tx.now:
        return "delayed"
    return "ready" if session.made else place_in_line(tx, session.id)


def requeue(tx: Transaction, task: TaskKey, queue: str | None, consent: Consent | None) -> None:
    """Give a task another queue or consent."""
    old = get(tx.connection, task.id).task
    new = replace(old, queue=queue or old.queue, consent=consent or old.consent)
    if new != old:
        tx.connection.execute(
            "UPDATE task SET queue = ?, request = ?, updated = ? WHERE seq = ?",
            (new.queue, _encode(new), tx.now, task.seq),
        )


def place_in_line(tx: Transaction, session: str) -> TaskState:
    """`ready` for what becomes its session's head, `blocked` behind another."""
    head = tx.connection.execute(
        "SELECT 1 FROM task WHERE session = ? AND status IN('ready', 'running', 'waiting', 'paused')", (session,)
    ).fetchone()
    return "blocked" if head else "ready"
