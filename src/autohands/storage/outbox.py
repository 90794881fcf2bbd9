"""Messages on their way out: one row each, one at a time per thread, taken up before they are sent.

Of each thread's messages the first that is pending or being sent is its head; only heads are taken up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from autohands.protocols.changes import Finish
from autohands.protocols.errors import BadRequest, Conflict, NotFound, TooBusy
from autohands.protocols.messages import BlobRef
from autohands.protocols.outbox import (
    MOST_PENDING,
    DecideMessage,
    MessageRecord,
    MessageState,
    Send,
    SettleMessage,
    StrandMessages,
    TakeMessages,
)
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id, now_ms
from autohands.storage import executors, tasks
from autohands.storage.executors import Identity
from autohands.storage.readers import Readers
from autohands.storage.transaction import TaskKey, Transaction

SHORTEST_PREFIX: Final = 8
LONGEST_ADDRESS: Final = 1000
BUSY_SECONDS: Final = 5.0

_FIELDS: Final = (
    *("id", "address", "key", "text", "images", "task", "state", "attempt", "doubtful", "labelled"),
    *("receipt", "error", "send_at", "created", "updated"),
)
_SELECT: Final = (
    "SELECT id, address, key, text, images, (SELECT id FROM task WHERE task.seq = message.task), state, attempt,"
    " doubtful, labelled, receipt, error, send_at, created, updated FROM message"
)
# A message that was last put off later than now was so before the clock was put back: it has waited long enough.
_EARLY: Final = "message INDEXED BY message_early WHERE head = 1 AND state = 'pending' AND updated > :now + 2000"
# The channels that have a head, by hops from one to the next: a channel's many rows are not read.
_DUE: Final = (
    "WITH RECURSIVE waiting(channel) AS ("
    " SELECT min(channel) FROM message INDEXED BY message_due WHERE head = 1"
    " UNION ALL SELECT (SELECT min(m.channel) FROM message m INDEXED BY message_due"
    "  WHERE m.head = 1 AND m.channel > waiting.channel) FROM waiting WHERE channel IS NOT NULL)"
    f" SELECT channel, iif(EXISTS(SELECT 1 FROM {_EARLY} AND message.channel = waiting.channel), :now,"
    "  (SELECT min(m.send_at) FROM message m INDEXED BY message_due"
    "   WHERE m.head = 1 AND m.channel = waiting.channel)) FROM waiting WHERE channel IS NOT NULL"
)
_LINES: Final[dict[str, str]] = {
    "cancelled": "This was cancelled before it was finished.",
    "turn_limit": "I stopped before this was finished: the limit of turns is reached.",
    "call_limit": "I stopped before this was finished: the limit of calls is reached.",
    "token_limit": "I stopped before this was finished: the limit of tokens is reached.",
    "byte_limit": "I stopped before this was finished: the limit of bytes sent to models is reached.",
    "time_limit": "I stopped before this was finished: its time is over.",
    "budget": "I stopped before this was finished: its budget is spent.",
    "denied": "I could not finish this: something that it needs was not allowed.",
    "attempts": "I could not finish this: it was interrupted too often.",
    "context_unrecoverable": "I could not finish this: the conversation has become too long.",
}
_FAILED: Final = "I could not finish this: it failed."
_OWNERS: Final = ("", "cancelled by owner")

_images: Final = msgspec.json.Decoder(tuple[BlobRef, ...])

_encode: Final = msgspec.json.Encoder().encode


class _Owner(Identity, frozen=True):
    """Who sends a message: a process, and which of its takers."""

    taker: str = ""


_owner: Final = msgspec.json.Decoder(_Owner)


def _record(row: Sequence[Any]) -> MessageRecord:
    values = dict(zip(_FIELDS, row, strict=True))
    values["images"] = _images.decode(values["images"])
    values["doubtful"], values["labelled"] = bool(values["doubtful"]), bool(values["labelled"])
    return MessageRecord(**values)


def _get(connection: sqlite3.Connection, message: str) -> MessageRecord:
    row = connection.execute(f"{_SELECT} WHERE id = ?", (message,)).fetchone()
    if row is None:
        raise NotFound(f"there is no message {message!r}", hint="`autohands outbox list` shows them")
    return _record(row)


# --- lined up --------------------------------------------------------------------------------------------------------


def send(tx: Transaction, change: Send) -> MessageRecord:
    """Line a message up; one with the same key to the same address answers in its place.

    Raises:
        BadRequest: That is no address, or it says nothing. NotFound: There is no such task.
        TooBusy: Too many wait for that channel.
    """
    channel = channel_of(change.address)
    if not channel:
        raise BadRequest(f"{change.address[:200]!r} is no address", hint="write CHANNEL:THREAD, as in telegram:4711")
    _check_text(change)
    known = tx.connection.execute(
        f"{_SELECT} WHERE address = ? AND key = ?", (change.address, change.key or "")
    ).fetchone()
    if known:
        return _record(known)
    full = tx.connection.execute(
        "SELECT 1 FROM message INDEXED BY message_waiting WHERE channel = ? AND state = 'pending' LIMIT 1 OFFSET ?",
        (channel, MOST_PENDING - 1),
    ).fetchone()
    if full:
        raise TooBusy(f"{MOST_PENDING:,} messages wait for channel {channel!r}", retry_after_seconds=BUSY_SECONDS)
    task = tasks.key_of(tx.connection, change.task).seq if change.task else None
    return _get(tx.connection, _insert(tx, change, channel, task))


def channel_of(address: str) -> str:
    """The channel of an address; '' if it is none."""
    channel, _, thread = address.partition(":")
    return channel if channel and thread and len(address) <= LONGEST_ADDRESS else ""


def _check_text(change: Send) -> None:
    if not change.text.strip() and not change.images:
        raise BadRequest("the message says nothing", hint="give it a text or an image")
    try:
        change.text.encode()
    except UnicodeEncodeError:
        raise BadRequest("the message is not valid Unicode text") from None


def _insert(tx: Transaction, change: Send, channel: str, task: int | None, state: str = "pending") -> str:
    failpoint("outbox.before_row")
    message = new_id("msg")
    row = {
        "id": message,
        "task": task,
        "channel": channel,
        "address": change.address,
        "key": change.key or message,
        "text": change.text,
        "images": _encode(change.images),
        "state": state,
        "send_at": tx.now,
        "created": tx.now,
        "updated": tx.now,
    }
    tx.connection.execute(
        f"INSERT INTO message({', '.join(row)}) VALUES({', '.join('?' * len(row))})", tuple(row.values())
    )
    _promote(tx, change.address)
    tx.kinds.add("outbox")
    failpoint("outbox.after_row")
    return message


def reply(tx: Transaction, change: Finish, task: TaskKey) -> None:
    """A task has ended: its answer goes to its reply address, if it has one. Who cancelled it himself is told nothing.

    The key is `reply:TASK`; where a task that was taken up again ends a second time, `reply:TASK:2`.
    """
    (address,) = tx.connection.execute("SELECT reply_address FROM task WHERE seq = ?", (task.seq,)).fetchone()
    if not address or (change.reason == "cancelled" and change.error in _OWNERS):
        return
    key = f"reply:{task.id}"
    (before,) = tx.connection.execute(
        "SELECT count(*) FROM message WHERE address = ?1 AND (key = ?2 OR key BETWEEN ?2 || ':' AND ?2 || ';')",
        (address, key),
    ).fetchone()
    said = Send(address=address, text=answer(change, task.id), key=f"{key}:{before + 1}" if before else key)
    channel = channel_of(address)
    message = _insert(tx, said, channel, task.seq, "pending" if channel else "dead")
    if not channel:
        error = f"{address[:200]!r} is no address: it has no channel before a colon, or no thread behind it"
        tx.connection.execute("UPDATE message SET error = ? WHERE id = ?", (error, message))


def answer(change: Finish, task: str) -> str:
    """What is said to whoever asked: the answer, or in one honest line why there is none."""
    if change.state == "done":
        return change.text if change.text.strip() else "Done."
    return f"{_LINES.get(change.reason, _FAILED)} ({task})"


def _promote(tx: Transaction, address: str) -> None:
    """The first pending message of a thread becomes its head, if it has none."""
    tx.connection.execute(
        "UPDATE message SET head = 1 WHERE seq ="
        " (SELECT seq FROM message INDEXED BY message_thread WHERE address = ?1 AND state = 'pending'"
        "  ORDER BY seq LIMIT 1)"
        " AND NOT EXISTS(SELECT 1 FROM message WHERE address = ?1 AND head = 1)",
        (address,),
    )


# --- sent ------------------------------------------------------------------------------------------------------------


def take(tx: Transaction, change: TakeMessages) -> list[MessageRecord]:
    """Take up what is due of a channel, what was abandoned while it was being sent first."""
    here = executors.this_process()
    back = _abandoned(tx, change, here)
    due = _due(tx, change.channel, max(change.most - len(back), 0))
    until = tx.now + round(change.seconds * 1000)
    owner = _encode(_Owner(here.host, here.boot, here.pid, here.born, change.taker)).decode()
    rows = [
        tx.connection.execute(
            "UPDATE message SET state = 'sending', owner = ?, attempt = attempt + 1, doubtful = max(doubtful, ?),"
            " send_at = ?, updated = ? WHERE seq = ? RETURNING id",
            (owner, doubtful, until, tx.now, seq),
        ).fetchone()
        for seq, doubtful in [*((seq, True) for seq in back), *((seq, False) for seq in due)]
    ]
    return [_get(tx.connection, message) for (message,) in rows]


def _due(tx: Transaction, channel: str, most: int) -> list[int]:
    """The heads of a channel that are to be sent by now, at most so many."""
    bounds = {"channel": channel, "now": tx.now, "most": most}
    due = tx.connection.execute(
        "SELECT seq FROM message INDEXED BY message_due WHERE channel = :channel AND head = 1 AND state = 'pending'"
        " AND send_at <= :now ORDER BY send_at, seq LIMIT :most",
        bounds,
    ).fetchall()
    due += tx.connection.execute(
        f"SELECT seq FROM {_EARLY} AND channel = :channel AND send_at > :now LIMIT :most", bounds
    ).fetchall()
    return [seq for (seq,) in due[:most]]


def _abandoned(tx: Transaction, change: TakeMessages, here: Identity) -> list[int]:
    """What is said to be sent by a program that is gone, or should have been settled by now; or by this taker, which
    knows nothing of it: something went wrong between taking it up and sending it."""
    rows = tx.connection.execute(
        "SELECT seq, id, owner, send_at FROM message INDEXED BY message_sending"
        " WHERE channel = ? AND state = 'sending' ORDER BY seq",
        (change.channel,),
    ).fetchall()
    owners = {owner: _owner.decode(owner) for owner in {row[2] for row in rows}}
    gone = {owner: executors.is_gone(process, here) for owner, process in owners.items()}
    own = {owner for owner, process in owners.items() if change.taker and process.taker == change.taker}
    left = [
        seq
        for seq, message, owner, send_at in rows
        if gone[owner] or ((send_at <= tx.now or owner in own) and message not in change.holding)
    ]
    return left[: change.most]


def strand(tx: Transaction, change: StrandMessages) -> int:
    """Say in what waits for a channel why it does; in how many messages this was new."""
    told = tx.connection.execute(
        "UPDATE message INDEXED BY message_stranded SET error = ?, updated = ?"
        " WHERE channel = ? AND head = 1 AND state = 'pending' AND error = ''",
        (change.reason, tx.now, change.channel),
    )
    return told.rowcount


def settle(tx: Transaction, change: SettleMessage) -> MessageRecord:
    """Write down what became of a message that was taken up.

    Raises:
        NotFound: There is none. Conflict: It is no longer being sent, or was taken up again.
    """
    old = _get(tx.connection, change.message)
    if (old.state, old.attempt) != ("sending", change.attempt):
        raise Conflict(f"message {old.id} is {old.state} and was taken up {old.attempt} times, not {change.attempt}")
    failpoint("outbox.before_settled")
    tx.connection.execute(
        "UPDATE message SET state = ?, owner = NULL, receipt = ?, error = ?, send_at = ?, doubtful = ?, labelled = ?,"
        " updated = ? WHERE id = ?",
        (
            *(change.state, change.receipt, change.error, max(change.send_at, tx.now)),
            *(change.doubtful, change.labelled or old.labelled, tx.now, old.id),
        ),
    )
    _moved(tx, old.id, old.address, change.state)
    failpoint("outbox.after_settled")
    return _get(tx.connection, old.id)


def decide(tx: Transaction, change: DecideMessage) -> MessageRecord:
    """A person sends a message after all, or drops it.

    Raises:
        NotFound: There is none. Conflict: It was sent, or is being sent.
    """
    old = _find(tx.connection, change.message)
    if old.state in ("sent", "sending"):
        raise Conflict(f"message {old.id} is {'being sent' if old.state == 'sending' else 'sent'}")
    if old.state == "dead" and not change.send:
        return old
    failpoint("outbox.before_decided")
    if change.send:
        tx.connection.execute(
            "UPDATE message SET state = 'pending', attempt = 0, doubtful = 0, labelled = 0, error = '', send_at = ?,"
            " updated = ? WHERE id = ?",
            (tx.now, tx.now, old.id),
        )
    else:
        tx.connection.execute(
            "UPDATE message SET state = 'dead', error = ?, updated = ? WHERE id = ?",
            (f"dropped; {old.error}" if old.error else "dropped", tx.now, old.id),
        )
    _moved(tx, old.id, old.address, "pending" if change.send else "dead")
    failpoint("outbox.after_decided")
    return _get(tx.connection, old.id)


def _moved(tx: Transaction, message: str, address: str, state: str) -> None:
    """A message has come into a state: out of its thread's way, or into it."""
    if state != "pending":
        tx.connection.execute("UPDATE message SET head = 0 WHERE id = ?", (message,))
    _promote(tx, address)
    tx.kinds.add("outbox")


# --- queries ---------------------------------------------------------------------------------------------------------


class OutboxRows:
    """`protocols.outbox.Outbox`."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def get(self, message: str) -> MessageRecord:
        """One message, by its id or a unique beginning of at least 8 characters. Raises `NotFound`."""
        return await self._readers.read(lambda connection: _find(connection, message))

    async def all(self, *, states: tuple[MessageState, ...] = (), limit: int = 100) -> list[MessageRecord]:
        """Messages, newest first."""
        return await self._readers.read(lambda connection: _newest(connection, states, limit))

    async def due(self) -> dict[str, int]:
        """By channel, when its next message is to be sent, or what is being sent is over, in UTC ms."""
        now = {"now": now_ms()}
        return await self._readers.read(lambda connection: cast("dict[str, int]", dict(connection.execute(_DUE, now))))


def _newest(connection: sqlite3.Connection, states: tuple[MessageState, ...], limit: int) -> list[MessageRecord]:
    if not states:
        return [_record(row) for row in connection.execute(f"{_SELECT} ORDER BY seq DESC LIMIT ?", (limit,))]
    rows = connection.execute(
        f"{_SELECT} WHERE seq IN(SELECT value FROM json_each(?)) ORDER BY seq DESC LIMIT ?",
        (_encode([seq for state in set(states) for seq in _last(connection, state, limit)]).decode(), limit),
    )
    return [_record(row) for row in rows]


def _last(connection: sqlite3.Connection, state: MessageState, limit: int) -> list[int]:
    rows = connection.execute("SELECT seq FROM message WHERE state = ? ORDER BY seq DESC LIMIT ?", (state, limit))
    return [seq for (seq,) in rows]


def _find(connection: sqlite3.Connection, message: str) -> MessageRecord:
    """A message by its id, or by the beginning of one."""
    if len(message) < SHORTEST_PREFIX:
        return _get(connection, message)
    rows = connection.execute(
        f"{_SELECT} WHERE id >= ? AND id < ? ORDER BY id LIMIT 2", (message, message + "\U0010ffff")
    ).fetchall()
    if len(rows) > 1 and rows[0][0] != message:
        raise NotFound(f"several messages begin with {message!r}", hint=f"{rows[0][0]}, {rows[1][0]}, …")
    return _record(rows[0]) if rows else _get(connection, message)
