"""One unit's part of a transaction: the connection, the time, and what is to be told once it is committed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from autohands.protocols.storage import Kind
    from autohands.storage.events import Entry

T = TypeVar("T")


class TaskKey(Struct, frozen=True):
    """What names a task in the tables: its number, its id, its session, its root's id."""

    seq: int
    id: str
    session: str
    root: str


class Transaction:
    """What a unit of work gets.

    `entries` are the events it appended to a task, by its id. `ready` says that the engine has reason to look again,
    `cancelled`, `paused` and `spoken` name running tasks that are to be cancelled, are to rest or have words to read;
    `kinds` are the bells that are to ring, `alarms` what is to be logged as an error. A unit may be run twice: whatever
    else it wants to happen outside the transaction would happen twice, or although it was rolled back.
    """

    __slots__ = ("alarms", "cancelled", "connection", "entries", "kinds", "now", "paused", "ready", "spoken")

    def __init__(self, connection: sqlite3.Connection, now: int) -> None:
        self.connection = connection
        self.now = now
        self.entries: list[tuple[str, Sequence[Entry]]] = []
        self.ready = False
        self.alarms: list[str] = []
        self.cancelled: list[str] = []
        self.paused: list[str] = []
        self.kinds: set[Kind] = set()
        self.spoken: list[str] = []


Unit: TypeAlias = Callable[[Transaction], T]
