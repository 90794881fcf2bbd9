"""Tasks that go on from another's recorded turns, or do its work again with its recorded results."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from autohands.protocols.changes import Enqueue, Fork
from autohands.protocols.errors import BadRequest
from autohands.protocols.messages import Reply
from autohands.protocols.task import Task, TaskRecord
from autohands.sdk.failpoint import failpoint
from autohands.storage import sessions, signals, tasks
from autohands.storage.transaction import TaskKey, Transaction

# What the model was told stays as it was told; who copies it can decide nothing about it and has spent nothing on it.
_COPY_STEPS: Final = (
    "INSERT INTO step(task, turn, idx, kind, name, status, idempotent, input_hash, output, attempt, started, ended,"
    " denied)"
    " SELECT :new, turn, idx, kind, name, CASE status WHEN 'unknown' THEN 'failed' ELSE status END, idempotent,"
    " input_hash, output, attempt, started, ended, denied FROM step"
    " WHERE task = :old AND turn < :turn AND output IS NOT NULL"
)
_COPY_WORDS: Final = (
    "INSERT INTO signal(task, topic, payload, turn, created) SELECT :new, topic, payload, turn, created FROM signal"
    " WHERE task = :old AND topic = 'words' AND turn < :turn ORDER BY id"
)
_LAST: Final = "SELECT turn, output FROM step WHERE task = ? AND kind = 'model' ORDER BY turn DESC LIMIT 1"
_TOLD: Final = "SELECT count(*) FROM step WHERE task = ? AND turn = ? AND kind = 'tool' AND output IS NOT NULL"

_reply: Final = msgspec.json.Decoder(Reply)


def fork(tx: Transaction, change: Fork) -> TaskRecord:
    """Make a task, in a session of its own, that goes on from another's first turns or repeats it.

    Raises:
        NotFound: There is no such task. BadRequest: It has not so many whole turns. TooBusy: Its queue is full.
    """
    old = tasks.key_of(tx.connection, change.task)
    turn = _turn(tx, old, change)
    request = tasks.get(tx.connection, old.id).task
    opens_anew = change.prompt is not None and turn == 1
    session = sessions.fork(tx, old)
    record: TaskRecord = tasks.enqueue(tx, Enqueue(task=_request(request, change, session)))
    tx.connection.execute("UPDATE task SET forked_from = ?, forked_turn = ? WHERE seq = ?", (old.id, turn, record.seq))
    if not opens_anew:
        copied = {"new": record.seq, "old": old.seq, "turn": turn}
        tx.connection.execute(_COPY_STEPS, copied)
        tx.connection.execute(_COPY_WORDS, copied)
        if change.prompt is not None:
            signals.deliver(tx, record.seq, signals.WORDS, {"text": change.prompt})
    failpoint("forks.made")
    return tasks.get(tx.connection, record.id)


def _turn(tx: Transaction, old: TaskKey, change: Fork) -> int:
    """The first turn that is the new task's own."""
    whole, last = _whole_turns(tx, old)
    if change.replay:
        return 1
    if change.turn is None:
        return whole + 1 if change.prompt is not None or whole < last else max(whole, 1)
    if not 1 <= change.turn <= whole + 1:
        raise BadRequest(
            f"task {old.id} has {whole} whole turns: there is no turn {change.turn} to go on from",
            hint=f"name a turn from 1 to {whole + 1}",
        )
    return change.turn


def _whole_turns(tx: Transaction, old: TaskKey) -> tuple[int, int]:
    """How many turns have a result for each call of their reply, and how many there are: only the last may lack one."""
    row = tx.connection.execute(_LAST, (old.seq,)).fetchone()
    if row is None:
        return 0, 0
    last, output = row
    calls = len(_reply.decode(output).tool_calls)
    (told,) = tx.connection.execute(_TOLD, (old.seq, last)).fetchone()
    return (last if told >= calls else last - 1), last


def _request(old: Task, change: Fork, session: str) -> Task:
    """The old request, without what belonged to its place in the order of things."""
    return replace(
        old,
        id="",
        session=session,
        model=change.model or old.model,
        prompt=old.prompt if change.prompt is None else change.prompt,
        queue=change.queue or old.queue,
        not_before=None,
        deadline=None,
        after=(),
        parent=None,
        reply_address=None,
        idempotency_key=None,
        record=None,
        replays=change.task if change.replay else None,
    )
