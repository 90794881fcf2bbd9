"""Events as rows and as JSON.

An event is encoded once, when it is emitted. Its own fields are its body, which is stored; the envelope (`type task
session at`, then `seq` or `after attempt offset`) is put before it when it is shown. A `replied` or `tool.finished`
without its message or result refers to the step that holds it, and it is spliced in then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from autohands.protocols.events import Durable, Event, Fleeting, ReplyFinished, ToolFinished
from autohands.storage.transaction import TaskKey, Transaction

INSERT: Final = "INSERT INTO event(task, seq, type, at, turn, idx, body) VALUES(?, ?, ?, ?, ?, ?, ?)"

_encode: Final = msgspec.json.Encoder().encode


def _type_name(event: type[Struct]) -> str:
    return str(event.__struct_config__.tag)


_NAMES: Final[dict[type, str]] = {event: _type_name(event) for event in get_args(Event)}
_STARTS: Final[dict[type, int]] = {event: len(f'{{"type":"{name}"') for event, name in _NAMES.items()}
_ENVELOPE: Final = b',"task":"","session":"","at":'  # msgspec writes the inherited fields last


class Kept:
    """A durable event: a row of the journal, and its JSON. `seq` is given when it is written."""

    __slots__ = ("at", "body", "index", "origin", "output", "seq", "turn", "type")

    def __init__(self, type: str, origin: bytes, at: int, body: bytes) -> None:
        self.type = type
        self.origin = origin
        self.at = at
        self.body = body
        self.turn: int | None = None
        self.index: int | None = None
        self.output: bytes | None = None
        self.seq = 0

    @property
    def size(self) -> int:
        """Bytes, more or less."""
        return len(self.body) + len(self.output or b"") + 150

    def row(self, task: int) -> tuple[object, ...]:
        """What `INSERT` takes."""
        return task, self.seq, self.type, self.at, self.turn, self.index, self.body

    def json(self) -> bytes:
        """The event as readers get it."""
        body = self.body if self.output is None else _spliced(self.type, self.body, self.output)
        return b'{"type":"%b"%b%d,"seq":%d%b}' % (self.type.encode(), self.origin, self.at, self.seq, body)


class Passing:
    """A delta. `after` is given when it is shown."""

    __slots__ = ("after", "at", "attempt", "body", "offset", "origin", "type")

    def __init__(self, type: str, origin: bytes, at: int, body: bytes) -> None:
        self.type = type
        self.origin = origin
        self.at = at
        self.body = body
        self.attempt = 1
        self.offset = 0
        self.after = 0

    @property
    def size(self) -> int:
        """Bytes, more or less."""
        return len(self.body) + 150

    def json(self) -> bytes:
        """The delta as readers get it."""
        return b'{"type":"%b"%b%d,"after":%d,"attempt":%d,"offset":%d%b}' % (
            self.type.encode(),
            self.origin,
            self.at,
            self.after,
            self.attempt,
            self.offset,
            self.body,
        )


Entry: TypeAlias = Kept | Passing


def origin_of(task: str, session: str) -> bytes:
    """The part of the envelope that all events of a task share."""
    return f',"task":"{task}","session":"{session}","at":'.encode()


def keep(event: Durable, origin: bytes, at: int) -> Kept:
    """An event to be written."""
    kind = type(event)
    kept = Kept(_NAMES[kind], origin, at, _body(event, kind))
    if kind is ToolFinished:
        assert isinstance(event, ToolFinished)
        if event.result is UNSET:
            kept.turn, kept.index = event.turn, event.index
    elif kind is ReplyFinished:
        assert isinstance(event, ReplyFinished)
        if event.message is UNSET:
            kept.turn, kept.index = event.turn, 0
    return kept


def _body(event: Durable | Fleeting, kind: type) -> bytes:
    if event.task or event.session:
        event = replace(event, task="", session="")
    encoded = _encode(event)
    return encoded[_STARTS[kind] : encoded.rindex(_ENVELOPE)]


def pass_on(event: Fleeting, origin: bytes, at: int, attempt: int, offset: int) -> Passing:
    """A delta to be shown."""
    kind = type(event)
    passing = Passing(_NAMES[kind], origin, at, _body(event, kind))
    passing.attempt, passing.offset = attempt, offset
    return passing


def append(tx: Transaction, task: TaskKey, event: Durable, *, seq: int = 0) -> None:
    """Write an event behind a task's others; `seq` is its number, where that is known."""
    kept = keep(event, origin_of(task.id, task.session), tx.now)
    kept.seq = seq or _next(tx, task.seq)
    tx.connection.execute(INSERT, kept.row(task.seq))
    tx.entries.append((task.id, (kept,)))


def _next(tx: Transaction, task: int) -> int:
    last: int | None = tx.connection.execute("SELECT max(seq) FROM event WHERE task = ?", (task,)).fetchone()[0]
    return (last or 0) + 1


class Page(Struct, frozen=True):
    """Stored events of a task, from a cursor on; `ended` if the task has, and nothing comes after them."""

    session: str
    ended: bool
    entries: list[Kept]


_PAGE: Final = (
    "SELECT e.seq, e.type, e.at, e.body, s.output FROM event e"
    " LEFT JOIN step s ON s.task = e.task AND s.turn = e.turn AND s.idx = e.idx"
    " WHERE e.task = ? AND e.seq > ? ORDER BY e.seq LIMIT ?"
)


def read_page(connection: sqlite3.Connection, task: str, after: int, limit: int) -> Page | None:
    """The events of a task after `after`, at most `limit`; None if there is no such task."""
    row = connection.execute("SELECT seq, session, ended FROM task WHERE id = ?", (task,)).fetchone()
    if row is None:
        return None
    number, session, ended = row
    entries = list(_entries(connection.execute(_PAGE, (number, after, limit)), task, session))
    return Page(session, ended is not None and len(entries) < limit, entries)


def _entries(rows: Iterable[tuple[Any, ...]], task: str, session: str) -> Iterator[Kept]:
    origin = origin_of(task, session)
    for seq, name, at, body, output in rows:
        kept = Kept(name, origin, at, body)
        kept.seq, kept.output = seq, output
        yield kept


class _Said(Struct):
    message: Raw


_said: Final = msgspec.json.Decoder(_Said)


def _spliced(type: str, body: bytes, output: bytes) -> bytes:
    """The body of an event with what its step holds."""
    if type == "replied":
        return b'%b,"message":%b' % (body, bytes(_said.decode(output).message))
    return b'%b,"result":%b' % (body, output)
