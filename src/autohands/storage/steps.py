"""Steps: the only home of replies, results, intents and usage."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from autohands.protocols.changes import RecordStep
from autohands.protocols.errors import Conflict
from autohands.protocols.messages import Usage
from autohands.protocols.records import Step
from autohands.sdk.failpoint import failpoint
from autohands.storage.transaction import TaskKey, Transaction

# A step changes only while nobody has read it: one that was begun is completed; one whose outcome is unknown and open
# is completed, or begins once more where a person has said so.
INSERT: Final = (
    "INSERT INTO step(task, turn, idx, kind, name, status, idempotent, input_hash, output, usage, attempt, started,"
    " ended, denied) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT(task, turn, idx) DO UPDATE SET status = excluded.status, output = excluded.output,"
    " denied = excluded.denied, usage = excluded.usage, ended = excluded.ended,"
    " attempt = step.attempt + (excluded.status = 'started'),"
    " input_hash = CASE excluded.status WHEN 'started' THEN excluded.input_hash ELSE step.input_hash END,"
    " started = CASE excluded.status WHEN 'started' THEN excluded.started ELSE step.started END"
    " WHERE (step.status = 'started' AND excluded.status <> 'started')"
    " OR (step.status = 'unknown' AND step.output IS NULL"
    " AND (excluded.status <> 'started' OR step.attempt <= step.retries))"
)
_FIELDS: Final = (
    *("turn", "index", "kind", "name", "status", "idempotent", "input_hash"),
    *("output", "usage", "attempt", "retries", "started", "ended", "denied"),
)
_COLUMNS: Final = (
    "turn, idx, kind, name, status, idempotent, input_hash, output, usage, attempt, retries, started, ended, denied"
)

_encode: Final = msgspec.json.Encoder().encode
_usage: Final = msgspec.json.Decoder(Usage)


def row_of(task: int, step: Step) -> tuple[object, ...]:
    """What `INSERT` takes."""
    return (
        task,
        step.turn,
        step.index,
        step.kind,
        step.name,
        step.status,
        step.idempotent,
        step.input_hash,
        step.output,
        None if step.usage is None else _encode(step.usage),
        step.attempt,
        step.started,
        step.ended,
        step.denied,
    )


def record(tx: Transaction, change: RecordStep, task: TaskKey) -> None:
    """Insert a step, or complete one that was started.

    Raises:
        Conflict: It is there already: its body must not run.
    """
    step = change.step
    if tx.connection.execute(INSERT, row_of(task.seq, step)).rowcount == 0:
        raise Conflict(f"step {step.turn}.{step.index} of {task.id} is recorded already and cannot change")
    failpoint("steps.recorded")


def read(connection: sqlite3.Connection, task: str) -> list[Step]:
    """The steps of a task, by turn and index."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM step WHERE task = (SELECT seq FROM task WHERE id = ?) ORDER BY turn, idx", (task,)
    )
    return [_step(row) for row in rows]


def _step(row: tuple[Any, ...]) -> Step:
    values = dict(zip(_FIELDS, row, strict=True))
    usage = values.pop("usage")
    idempotent, denied = bool(values.pop("idempotent")), bool(values.pop("denied"))
    return Step(**values, idempotent=idempotent, denied=denied, usage=None if usage is None else _usage.decode(usage))


def totals(connection: sqlite3.Connection, task: int) -> tuple[int, Usage]:
    """How many turns a task has taken, and what its model calls used."""
    turns: int | None = connection.execute("SELECT max(turn) FROM step WHERE task = ?", (task,)).fetchone()[0]
    used = Usage()
    for (usage,) in connection.execute("SELECT usage FROM step WHERE task = ? AND usage IS NOT NULL", (task,)):
        used += _usage.decode(usage)
    return turns or 0, used
