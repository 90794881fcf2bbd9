"""Signals: what a task is told from outside; the words said to it are signals too."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from autohands.protocols.changes import ReadWords, Signal, Speak, Tell
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.records import Word
from autohands.sdk.failpoint import failpoint
from autohands.storage import tasks, waits
from autohands.storage.transaction import TaskKey, Transaction

WORDS: Final = "words"
UNREAD: Final = "EXISTS(SELECT 1 FROM signal WHERE signal.task = task.seq AND topic = 'words' AND turn IS NULL)"

_encode: Final = msgspec.json.Encoder().encode
_payload: Final = msgspec.json.Decoder(dict[str, Any])


def deliver(tx: Transaction, task: int, topic: str, payload: dict[str, Any], dedup: str | None = None) -> None:
    """Keep a payload for a task, and wake the task if it waits for it."""
    added = tx.connection.execute(
        "INSERT INTO signal(task, topic, dedup, payload, created) VALUES(?, ?, ?, ?, ?)"
        " ON CONFLICT(task, dedup) DO NOTHING",
        (task, topic, dedup, _encode(payload), tx.now),
    )
    failpoint("signals.delivered")
    if added.rowcount and any(waits.names(wait, topic) for wait in waits.waits_of(tx, task)):
        waits.wake(tx, task)


def signal(tx: Transaction, change: Signal) -> None:
    """Give a task the payload of a topic.

    Raises:
        NotFound: There is no such task. BadRequest: The topic is ours.
    """
    if change.topic == WORDS:
        raise BadRequest(f"the topic {WORDS!r} is reserved", hint="say words to the task's session")
    deliver(tx, tasks.key_of(tx.connection, change.task).seq, change.topic, change.payload, change.dedup)


def speak(tx: Transaction, change: Speak) -> str | None:
    """Leave words for the running or waiting head of a session; its id, or None if there is none."""
    row = tx.connection.execute(
        "SELECT seq, id FROM task INDEXED BY task_head WHERE session = ?"
        " AND status IN('ready', 'running', 'waiting', 'paused') AND status IN('running', 'waiting')",
        (change.session,),
    ).fetchone()
    if row is None:
        return None
    deliver(tx, row[0], WORDS, {"text": change.text})
    tx.spoken.append(row[1])
    return str(row[1])


def tell(tx: Transaction, change: Tell) -> None:
    """Leave words for a child of a task, once for each key.

    Raises:
        NotFound: The task has no such child. Conflict: It has ended.
    """
    row = tx.connection.execute(
        "SELECT seq, ended FROM task WHERE id = ? AND parent = ?", (change.task, change.parent)
    ).fetchone()
    if row is None:
        raise NotFound(f"task {change.parent} has started no task {change.task!r}")
    seq, ended = row
    if ended is not None:
        raise Conflict(f"task {change.task} has ended")
    deliver(tx, seq, WORDS, {"text": change.text}, f"told:{change.key}")
    tx.spoken.append(change.task)


def mark_read(tx: Transaction, change: ReadWords, task: TaskKey) -> None:
    """Words were read by a turn; the first one to read them stands."""
    tx.connection.executemany(
        "UPDATE signal SET turn = ? WHERE id = ? AND task = ? AND topic = 'words' AND turn IS NULL",
        [(change.turn, word, task.seq) for word in change.ids],
    )


def unread(tx: Transaction, task: int) -> bool:
    """Whether words wait that no turn has read."""
    found = tx.connection.execute(
        "SELECT 1 FROM signal WHERE task = ? AND topic = 'words' AND turn IS NULL LIMIT 1", (task,)
    )
    return found.fetchone() is not None


def words(connection: sqlite3.Connection, task: str) -> list[Word]:
    """Words said to a task, in order."""
    rows = connection.execute(
        "SELECT id, payload, turn FROM signal WHERE task = (SELECT seq FROM task WHERE id = ?) AND topic = 'words'"
        " ORDER BY id",
        (task,),
    )
    return [Word(id=word, text=_payload.decode(payload)["text"], turn=turn) for word, payload, turn in rows]


def payloads(connection: sqlite3.Connection, task: str) -> dict[str, dict[str, Any]]:
    """The last payload of each topic of a task, words left out."""
    rows = connection.execute(
        "SELECT topic, payload FROM signal WHERE task = (SELECT seq FROM task WHERE id = ?) AND topic <> 'words'"
        " ORDER BY id",
        (task,),
    )
    return {topic: _payload.decode(payload) for topic, payload in rows}
