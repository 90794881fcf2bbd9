"""What people say of effects whose outcome is unknown: before the model has read of them."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from autohands.protocols.changes import Cancel, DecideStep
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.events import ToolFinished
from autohands.protocols.messages import Reply, ToolCall
from autohands.protocols.task import TaskRecord
from autohands.protocols.tool import ToolResult
from autohands.sdk.failpoint import failpoint
from autohands.storage import claims, endings, events, executors, tasks, waits
from autohands.storage.transaction import TaskKey, Transaction

SKIPPED: Final = "skipped: nobody knows how far this call came, and {by} says to go on without it"
SAID_DONE: Final = "(interrupted; {by} says that it was done; there is no output)"

# Effects that were begun and have no outcome, and that no later call of the model has read about.
_DOUBTFUL: Final = (
    "SELECT s.turn, s.idx, s.status, s.output IS NULL, s.attempt, s.retries FROM step s WHERE s.task = :task"
    " AND s.kind = 'tool' AND s.idempotent = 0 AND s.status IN('started', 'unknown')"
    " AND NOT EXISTS(SELECT 1 FROM step m WHERE m.task = s.task AND m.turn > s.turn AND m.kind = 'model')"
    " ORDER BY s.turn, s.idx"
)
_LATER: Final = (
    "SELECT 1 FROM task t JOIN task d ON d.session = t.session AND d.seq > t.seq AND d.attempt > 0"
    " WHERE t.seq = ? AND t.ended IS NOT NULL LIMIT 1"
)

_encode: Final = msgspec.json.Encoder().encode
_reply: Final = msgspec.json.Decoder(Reply)


class Doubtful(Struct, frozen=True):
    """An effect with no outcome. It is `open` if the task stops for it: a person was asked and has not answered."""

    turn: int
    index: int
    status: str
    untold: bool
    attempt: int
    retries: int

    @property
    def open(self) -> bool:
        """Whether the task waits until a person has said something."""
        return self.status == "unknown" and self.untold and self.attempt > self.retries


def decide(tx: Transaction, change: DecideStep) -> TaskRecord:
    """Say what became of an effect; the task wakes when nothing is undecided any more.

    Raises:
        NotFound: No such task or step. Conflict: The outcome is known, or the model has read of it; it runs; or several
            are meant. BadRequest: A result without `done`.
    """
    if change.result is not None and change.decision != "done":
        raise BadRequest(f"{change.decision} takes no result", hint="only `done` does")
    task = tasks.key_of(tx.connection, change.task)
    _check_at_rest(tx, task)
    step = _meant(tx, task, change)
    if change.decision == "cancel":
        return endings.cancel(tx, Cancel(task=task.id, by=change.by))
    if change.decision == "retry":
        _begin_again(tx, task, step)
    else:
        _conclude(tx, task, step, change)
    _wake(tx, task)
    failpoint("decisions.decided")
    return tasks.get(tx.connection, task.id)


def _check_at_rest(tx: Transaction, task: TaskKey) -> None:
    """Nobody may be about to tell the model; a task whose executor is dead is taken from it first."""
    status, owner = tx.connection.execute("SELECT status, lease_owner FROM task WHERE seq = ?", (task.seq,)).fetchone()
    if status == "running" and executors.has_gone(tx.connection, owner):
        claims.abandon(tx, task)
    elif status == "running":
        raise Conflict(f"task {task.id} is running: the model is told already", hint="wait for it, or cancel it")
    elif status in ("done", "cancelled"):
        raise Conflict(f"task {task.id} is {status}: nothing of it goes on")
    elif tx.connection.execute(_LATER, (task.seq,)).fetchone():
        raise Conflict(f"a later task of its session has read what became of {task.id}")


def _meant(tx: Transaction, task: TaskKey, change: DecideStep) -> Doubtful:
    found = [Doubtful(*row) for row in tx.connection.execute(_DOUBTFUL, {"task": task.seq})]
    fits = [each for each in found if change.turn in (None, each.turn) and change.index in (None, each.index)]
    fits = [each for each in fits if each.open] or fits
    if not fits:
        raise _nothing(tx, task, change)
    if len(fits) > 1:
        calls = ", ".join(f"--turn {each.turn} --index {each.index}" for each in fits)
        raise Conflict(f"several calls of task {task.id} wait for a decision", hint=f"say which: {calls}")
    return fits[0]


def _nothing(tx: Transaction, task: TaskKey, change: DecideStep) -> NotFound | Conflict:
    if change.turn is None:
        return Conflict(f"task {task.id} has no call whose outcome is unknown and that the model has not read about")
    place = f"{change.turn}" if change.index is None else f"{change.turn}.{change.index}"
    row = tx.connection.execute(
        "SELECT status FROM step WHERE task = ? AND turn = ? AND idx = coalesce(?, idx) AND kind = 'tool' LIMIT 1",
        (task.seq, change.turn, change.index),
    ).fetchone()
    if row is None:
        return NotFound(f"task {task.id} has no call {place}", hint=f"`autohands task show {task.id}` lists them")
    if row[0] in ("started", "unknown"):
        return Conflict(f"call {place} of task {task.id} cannot be decided any more: the model has read of it")
    return Conflict(f"call {place} of task {task.id} is {row[0]}: its outcome is known")


def _begin_again(tx: Transaction, task: TaskKey, step: Doubtful) -> None:
    """Let its body begin once more, and only once, however often this is said."""
    tx.connection.execute(
        "UPDATE step SET status = 'unknown', output = NULL, retries = attempt WHERE task = ? AND turn = ? AND idx = ?",
        (task.seq, step.turn, step.index),
    )


def _conclude(tx: Transaction, task: TaskKey, step: Doubtful, change: DecideStep) -> None:
    by = change.by or "a person"
    if change.decision == "done":
        result = change.result or ToolResult(SAID_DONE.format(by=by))
    else:
        result = ToolResult(SKIPPED.format(by=by), failed=True)
    status: Literal["done", "failed"] = "failed" if result.failed else "done"
    tx.connection.execute(
        "UPDATE step SET status = ?, output = ?, ended = ? WHERE task = ? AND turn = ? AND idx = ?",
        (status, _encode(result), tx.now, task.seq, step.turn, step.index),
    )
    call = _call(tx, task, step)
    (ended,) = tx.connection.execute("SELECT ended FROM task WHERE seq = ?", (task.seq,)).fetchone()
    if ended is None:
        told = ToolFinished(
            turn=step.turn, index=step.index, call_id=call.id, name=call.name, status=status, result=result
        )
        events.append(tx, task, told)


def _call(tx: Transaction, task: TaskKey, step: Doubtful) -> ToolCall:
    (output,) = tx.connection.execute(
        "SELECT output FROM step WHERE task = ? AND turn = ? AND idx = 0", (task.seq, step.turn)
    ).fetchone()
    return _reply.decode(output).tool_calls[step.index - 1]


def _wake(tx: Transaction, task: TaskKey) -> None:
    """The task goes on if it waits for a decision, and none is open any more."""
    if not any(wait.startswith("decision:") for wait in waits.waits_of(tx, task.seq)):
        return
    if not any(Doubtful(*row).open for row in tx.connection.execute(_DOUBTFUL, {"task": task.seq})):
        waits.wake(tx, task.seq)
