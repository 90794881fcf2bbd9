"""What is too old goes, in small units between which others write; what has not ended stays."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from autohands.protocols.upkeep import Retained, Retention
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import now_ms
from autohands.storage import backups
from autohands.storage.blobs import Blobs
from autohands.storage.database import Database
from autohands.storage.readers import Readers
from autohands.storage.transaction import Transaction

K = TypeVar("K")

DAY_MS: Final = 86_400_000
MOST_ROWS: Final = 1_000
MOST_SESSIONS: Final = 100
UNIT_SECONDS: Final = 0.02
_SPAN: Final = 200
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

# Whatever goes on in it, or goes on from it, keeps a session.
_ENDED: Final = (
    "NOT EXISTS(SELECT 1 FROM task WHERE task.session = session.id AND task.ended IS NULL)"
    " AND NOT EXISTS(SELECT 1 FROM session fork WHERE fork.forked_from = session.id)"
)
_OLD_SESSIONS: Final = (
    f"SELECT id, updated FROM session INDEXED BY session_age WHERE updated < ?1 AND {_ENDED}"
    f" AND NOT EXISTS(SELECT 1 FROM task WHERE task.session = session.id AND task.ended >= ?1) LIMIT {MOST_SESSIONS}"
)
_SPARE_SESSIONS: Final = (
    "SELECT id, updated FROM (SELECT id, updated FROM session INDEXED BY session_age ORDER BY updated DESC"
    f" LIMIT -1 OFFSET ?) AS session WHERE {_ENDED} LIMIT {MOST_SESSIONS}"
)
_TASKS: Final = "SELECT seq FROM task WHERE session IN(SELECT value FROM json_each(?)) AND ended IS NOT NULL"
# The last event, which says how a task ended, stays: readers end there, and numbers go on from it.
_OLD_EVENTS: Final = (
    "SELECT ended, seq FROM task WHERE ended < ? AND (ended, seq) > (?, ?)"
    " AND (SELECT min(e.seq) FROM event e WHERE e.task = task.seq)"
    " < (SELECT max(e.seq) FROM event e WHERE e.task = task.seq) ORDER BY ended, seq LIMIT 1000"
)
_CLEAR: Final = (
    "DELETE FROM event WHERE task = ?1 AND seq IN(SELECT e.seq FROM event e WHERE e.task = ?1"
    " AND e.seq < (SELECT max(m.seq) FROM event m WHERE m.task = ?1) ORDER BY e.seq LIMIT ?2)"
)
_OLD_MESSAGES: Final = (
    "DELETE FROM message WHERE seq IN(SELECT seq FROM message WHERE state IN('sent', 'dead') AND updated < ? LIMIT ?)"
)
_OLD_OCCURRENCES: Final = (
    "DELETE FROM occurrence WHERE schedule = ?1 AND at IN(SELECT at FROM occurrence WHERE schedule = ?1"
    " AND at < (SELECT at FROM occurrence WHERE schedule = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2) ORDER BY at LIMIT ?3)"
    " RETURNING at"
)
# Whatever may speak of a blob, and what its rows are numbered by.
_SPEAKERS: Final = (
    ("task", "request", "seq"),
    ("step", "output", "rowid"),
    ("signal", "payload", "id"),
    ("message", "images", "seq"),
    ("publication", "payload", "seq"),
    ("job", "row", "rowid"),
    ("event", "body", "task"),
)


class Keeper:
    """Applies a policy, once each time it is called."""

    def __init__(self, path: Path, database: Database, readers: Readers, blobs: Blobs) -> None:
        self._path = path
        self._database = database
        self._readers = readers
        self._blobs = blobs

    async def retain(self, policy: Retention) -> Retained:
        """Delete what is older than the policy says, and give its room back; what went.

        Raises:
            StorageUnavailable: The database cannot be read or written; what went is gone all the same.
        """
        now = now_ms()
        sessions = await self._sessions(_OLD_SESSIONS, now - int(policy.sessions_days * DAY_MS))
        sessions += await self._sessions(_SPARE_SESSIONS, policy.sessions)
        events = await self._events(now - int(policy.journal_days * DAY_MS))
        return Retained(
            sessions=sessions,
            events=events,
            messages=await self._rows(_OLD_MESSAGES, now - int(policy.messages_days * DAY_MS)),
            occurrences=await self._occurrences(policy.occurrences),
            blobs=await self._unused_blobs(now - DAY_MS),
            backups=await self._readers.call(
                lambda: backups.prune(self._path.parent / backups.FOLDER, policy.backups) if policy.backups else 0
            ),
            bytes=await self._shrink(),
        )

    async def _sessions(self, query: str, bound: int) -> int:
        gone = 0
        while found := await self._read(query, bound):
            tasks = await self._read(_TASKS, json.dumps([session for session, _ in found]))
            await self._each([task for (task,) in tasks], _clear)  # all at once they would hold others up
            here = await self._each(found, _forget)
            gone += here
            if here == 0:  # all of them were taken up again meanwhile
                break
        return gone

    async def _events(self, before: int) -> int:
        gone, last = 0, (0, 0)
        while found := await self._read(_OLD_EVENTS, before, *last):
            gone, last = gone + await self._each([task for _, task in found], _clear), found[-1]
        return gone

    async def _each(self, keys: Sequence[K], one: Callable[[Transaction, K], int]) -> int:
        """Do something to each of some rows; how many rows went."""
        gone = 0
        while keys:
            here, done = await self._database.write(partial(_some, keys=keys, one=one))
            gone, keys = gone + here, keys[done:]
            failpoint("retention.unit")
        return gone

    async def _occurrences(self, most: int) -> int:
        schedules = await self._read("SELECT name FROM schedule")
        return await self._each([name for (name,) in schedules], partial(_forget_times, most=most))

    async def _rows(self, statement: str, *bounds: object) -> int:
        """Run a statement that deletes at most so many rows until there are no more."""
        gone = 0
        while True:
            here = await self._database.write(
                lambda tx: tx.connection.execute(statement, (*bounds, MOST_ROWS)).rowcount
            )
            gone += here
            if here < MOST_ROWS:
                return gone

    async def _unused_blobs(self, before: int) -> int:
        """Delete blobs that no row speaks of and that were last stored before a time (UTC ms)."""
        unused = {digest for (digest,) in await self._read("SELECT sha256 FROM blob WHERE created < ?", before)}
        if not unused:
            return 0
        unused -= await self._readers.read(partial(_spoken_in, query="SELECT schedule FROM schedule"))
        for table, column, key in _SPEAKERS:
            async for spoken in self._spoken(table, column, key):
                unused -= spoken
        return await self._discard(sorted(unused), before)

    async def _discard(self, digests: Sequence[str], before: int) -> int:
        gone = 0
        for first in range(0, len(digests), MOST_SESSIONS):
            some = digests[first : first + MOST_SESSIONS]
            gone += await self._database.write(partial(self._blobs.discard, digests=some, before=before))
        return gone

    async def _spoken(self, table: str, column: str, key: str) -> AsyncIterator[set[str]]:
        """The digests in a column, in pages: one long read would keep the log from being emptied."""
        ends = await self._read(f"SELECT (SELECT min({key}) FROM {table}), (SELECT max({key}) FROM {table})")
        first, last = ends[0]
        page = f"SELECT {column} FROM {table} WHERE {key} BETWEEN ? AND ?"
        for start in range(first or 0, (last or -1) + 1, _SPAN):
            yield await self._readers.read(partial(_spoken_in, query=page, bounds=(start, start + _SPAN - 1)))

    async def _shrink(self) -> int:
        """Give free pages back to the file system."""
        given = 0
        while True:
            here = await self._database.write(_give_back)
            given += here
            if here == 0:
                return given

    async def _read(self, query: str, *bounds: object) -> list[Any]:
        return await self._readers.read(lambda connection: connection.execute(query, bounds).fetchall())


def _spoken_in(connection: sqlite3.Connection, query: str, bounds: tuple[int, ...] = ()) -> set[str]:
    """The digests that stand in some contents."""
    found: set[str] = set()
    for (content,) in connection.execute(query, bounds):
        if content is not None:
            text = content if isinstance(content, str) else content.decode("utf-8", "replace")
            found.update(_DIGEST.findall(text))
    return found


def _some(tx: Transaction, keys: Sequence[K], one: Callable[[Transaction, K], int]) -> tuple[int, int]:
    """Do something to as many rows as there is time for; how many rows went, and how many keys are done with."""
    gone, done, until = 0, 0, time.monotonic() + UNIT_SECONDS
    for key in keys:
        here = one(tx, key)
        gone += here
        done += here < MOST_ROWS
        if here == MOST_ROWS or time.monotonic() > until:
            break
    return gone, done


def _clear(tx: Transaction, task: int) -> int:
    """Delete events of a task, at most so many, but its last."""
    return tx.connection.execute(_CLEAR, (task, MOST_ROWS)).rowcount


def _forget(tx: Transaction, found: tuple[str, int]) -> int:
    """Delete a session with all that belongs to it, unless it was used since it was found, or another one goes on from
    it by now; how many (0 or 1)."""
    gone = tx.connection.execute(f"DELETE FROM session WHERE id = ? AND updated = ? AND {_ENDED}", found).rowcount
    if gone:
        tx.connection.execute("DELETE FROM job WHERE session = ?", found[:1])
    return gone


def _forget_times(tx: Transaction, schedule: str, most: int) -> int:
    """Delete all but the last occurrences of a schedule, and remember that their times were settled; how many went."""
    gone = tx.connection.execute(_OLD_OCCURRENCES, (schedule, most - 1, MOST_ROWS)).fetchall()
    if gone:
        tx.connection.execute(
            "UPDATE schedule SET forgotten = max(coalesce(forgotten, ?1), ?1) WHERE name = ?2", (max(gone)[0], schedule)
        )
    return len(gone)


def _give_back(tx: Transaction) -> int:
    """Take some free pages off the end of the file, as many as there is time for; how many bytes."""
    before, until = _free(tx), time.monotonic() + UNIT_SECONDS
    for _ in range(before):  # SQLite stops at each page, and Python does not ask it to go on
        tx.connection.execute("PRAGMA incremental_vacuum(1)")
        if time.monotonic() > until:
            break
    return (before - _free(tx)) * int(tx.connection.execute("PRAGMA page_size").fetchone()[0])


def _free(tx: Transaction) -> int:
    pages: int = tx.connection.execute("PRAGMA freelist_count").fetchone()[0]
    return pages
