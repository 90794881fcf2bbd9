"""Schedules as rows: read, found, listed, with the history of their times."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from autohands.protocols.errors import NotFound
from autohands.protocols.schedule import Occurrence, Schedule, ScheduleRecord
from autohands.protocols.task import Task
from autohands.storage.readers import Readers

COLUMNS: Final = "name, schedule, state, reason, next_at, failures, backoff_until, created, updated"
_FIELDS: Final = ("state", "reason", "next_at", "failures", "backoff_until", "created", "updated")
_schedule: Final = msgspec.json.Decoder(Schedule)


def record_of(row: Sequence[Any]) -> ScheduleRecord:
    """The record of a row of `COLUMNS`. One that cannot be read has no time, and the reason why."""
    name, body, *rest = row
    values = dict(zip(_FIELDS, rest, strict=True))
    try:
        schedule = _schedule.decode(body)
    except msgspec.DecodeError as error:
        schedule = Schedule(name=name, kind="once", when="", task=Task())
        values["reason"] = f"what is stored of it cannot be read: {error}"
    return ScheduleRecord(schedule=schedule, **values)


def find(connection: sqlite3.Connection, name: str) -> ScheduleRecord:
    """A schedule by name. Raises `NotFound` with the nearest names."""
    row = connection.execute(f"SELECT {COLUMNS} FROM schedule WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise missing(connection, name)
    return record_of(row)


def missing(connection: sqlite3.Connection, name: str) -> NotFound:
    """The error for a schedule that is not there, with the names that look like it."""
    from difflib import get_close_matches

    known = [str(near) for (near,) in connection.execute("SELECT name FROM schedule ORDER BY name LIMIT 1000")]
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "`autohands schedule list` shows them"
    return NotFound(f"there is no schedule {name!r}", hint=hint)


class ScheduleRows:
    """`protocols.schedule.Schedules`."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def get(self, name: str) -> ScheduleRecord:
        """One schedule. Raises `NotFound` with the nearest names."""
        return await self._readers.read(lambda connection: find(connection, name))

    async def all(self) -> list[ScheduleRecord]:
        """All schedules, by name."""
        return await self._records("ORDER BY name")

    async def due(self, now: int, limit: int = 1000) -> list[ScheduleRecord]:
        """Active schedules whose time has come by `now` (UTC ms), the longest due first."""
        return await self._records("WHERE state = 'active' AND next_at <= ? ORDER BY next_at LIMIT ?", now, limit)

    async def next_due(self) -> int | None:
        """When the next active schedule is due, in UTC ms."""
        query = "SELECT min(next_at) FROM schedule WHERE state = 'active' AND next_at IS NOT NULL"
        found: int | None = await self._readers.read(lambda connection: connection.execute(query).fetchone()[0])
        return found

    async def history(self, name: str, limit: int = 100) -> list[Occurrence]:
        """What became of a schedule's times, newest first. Raises `NotFound`."""
        return await self._readers.read(lambda connection: _history(connection, name, limit))

    async def _records(self, condition: str, *values: int) -> list[ScheduleRecord]:
        query = f"SELECT {COLUMNS} FROM schedule {condition}"
        return await self._readers.read(
            lambda connection: [record_of(row) for row in connection.execute(query, values)]
        )


def _history(connection: sqlite3.Connection, name: str, limit: int) -> list[Occurrence]:
    find(connection, name)
    rows = connection.execute(
        "SELECT o.at, o.state, o.reason, o.task, t.status, o.created FROM occurrence o"
        " LEFT JOIN task t ON t.id = o.task WHERE o.schedule = ? ORDER BY o.at DESC LIMIT ?",
        (name, limit),
    )
    fields = ("at", "state", "reason", "task", "task_state", "created")
    return [Occurrence(schedule=name, **dict(zip(fields, row, strict=True))) for row in rows]
