"""Queues and their limits: asked inside the transaction that accepts a task or claims it.

How many tasks of a queue stand where is kept in the table `tally` by triggers on `task`, whoever moves them. Starts are
counted in the table `rate`, in a hundred parts of a period.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from msgspec import Struct

from autohands.protocols.errors import BadRequest, TooBusy
from autohands.protocols.queues import LimitQueues, QueueLimits, QueueStatus
from autohands.sdk.failpoint import failpoint
from autohands.storage.readers import Readers
from autohands.storage.transaction import Transaction

PARTS: Final = 100
LARGEST: Final = 1_000_000_000
ORDINARY: Final = QueueLimits(name="")
SHORTEST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 60.0
_LIMITS: Final = "SELECT concurrency, rate, period_ms FROM queue WHERE name = ?"
_COUNT: Final = "SELECT n FROM tally WHERE queue = ? AND status = ?"
_WAITING: Final = (
    "SELECT sum(n), q.depth, q.rate, q.period_ms FROM tally LEFT JOIN queue q ON q.name = ?1"
    " WHERE tally.queue = ?1 AND tally.status IN('ready', 'blocked', 'delayed')"
)
_STARTED: Final = "SELECT coalesce(sum(n), 0), min(at) FROM rate WHERE queue = ?1 AND at > ?2 - ?3 AND at <= ?2 + ?3"
_OLDEST: Final = "SELECT created FROM task WHERE seq = (SELECT min(seq) FROM task WHERE queue = ? AND status = 'ready')"


class Room(Struct, frozen=True):
    """How many tasks of a queue may start now. `opens_at` is when its rate lets more of them start, in UTC ms; starts
    are `counted` where it has one."""

    tasks: int
    opens_at: int | None = None
    counted: bool = False


def limit(tx: Transaction, change: LimitQueues) -> None:
    """These limits stand from now on, and no others.

    Raises:
        BadRequest: One of them would let nothing through.
    """
    for limits in change.limits:
        _check(limits)
    tx.connection.execute("DELETE FROM queue")
    tx.connection.executemany(
        "INSERT OR REPLACE INTO queue(name, concurrency, depth, rate, period_ms) VALUES(?, ?, ?, ?, ?)",
        [
            (each.name, each.concurrency, each.depth, each.rate, max(round(each.period_seconds * 1000), 1))
            for each in change.limits
        ],
    )
    tx.connection.execute("DELETE FROM rate WHERE queue NOT IN(SELECT name FROM queue WHERE rate IS NOT NULL)")
    failpoint("queues.limited")
    tx.ready = True


def _check(limits: QueueLimits) -> None:
    for name in ("concurrency", "rate", "depth", "period_seconds"):
        value = getattr(limits, name)
        if value is not None and not 0 < value <= LARGEST:
            hint = f"use a number above 0, {LARGEST:,} at most, or leave it out"
            raise BadRequest(f"queue {limits.name!r}: {name} is {value}", hint=hint)


def admit(tx: Transaction, queue: str) -> None:
    """Let another task into a queue.

    Raises:
        TooBusy: As many wait in it as may.
    """
    waiting, *limits = tx.connection.execute(_WAITING, (queue,)).fetchone()
    depth, rate, period_ms = (ORDINARY.depth, None, 0) if limits[-1] is None else limits
    if waiting is not None and depth is not None and waiting >= depth:
        raise TooBusy(
            f"queue {queue!r} is full: {waiting:,} tasks wait in it",
            retry_after_seconds=_retry_after(depth, rate, period_ms),
            hint=f"come back later, or raise [queues.{queue}] depth",
        )


def _retry_after(depth: int, rate: int | None, period_ms: int) -> float:
    """When it makes sense to come back: by then a tenth of a full queue has started, if its rate is known."""
    seconds = 0.0 if rate is None else depth / 10 / rate * period_ms / 1000
    return min(max(seconds, SHORTEST_RETRY_SECONDS), LONGEST_RETRY_SECONDS)


def room(tx: Transaction, queue: str, most: int) -> Room:
    """How many tasks of a queue may start now, at most `most`."""
    row = tx.connection.execute(_LIMITS, (queue,)).fetchone()
    if row is None:
        return Room(most)
    concurrency, rate, period_ms = row
    if concurrency is not None:
        running = tx.connection.execute(_COUNT, (queue, "running")).fetchone()
        most = min(most, concurrency - (running[0] if running else 0))
    if rate is None:
        return Room(max(most, 0))
    started, first = tx.connection.execute(_STARTED, (queue, tx.now, period_ms)).fetchone()
    left = rate - started
    opens_at = (first or tx.now) + period_ms if left < most else None
    return Room(max(min(most, left), 0), opens_at, counted=True)


def start(tx: Transaction, queue: str, count: int) -> None:
    """So many tasks of a queue that has a rate start now. Each counts as a little later than it is, never as earlier.

    What counts as more than a period later was started before the clock was put back, and is forgotten too.
    """
    (period_ms,) = tx.connection.execute("SELECT period_ms FROM queue WHERE name = ?", (queue,)).fetchone()
    part = max(period_ms // PARTS, 1)
    at = -(-tx.now // part) * part
    for passed in ("at <= ?2 - ?3", "at > ?2 + ?3"):
        tx.connection.execute(f"DELETE FROM rate WHERE queue = ?1 AND {passed}", (queue, tx.now, period_ms))
    tx.connection.execute(
        "INSERT INTO rate(queue, at, n) VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
        (queue, at, count),
    )


class QueueRows:
    """Queries."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def all(self) -> list[QueueStatus]:
        """Queues that have limits or unfinished tasks, by name."""
        return await self._readers.read(_statuses)


def _statuses(connection: sqlite3.Connection) -> list[QueueStatus]:
    limits = {
        name: QueueLimits(
            name=name, concurrency=concurrency, rate=rate, period_seconds=(period_ms or 1000) / 1000, depth=depth
        )
        for name, concurrency, depth, rate, period_ms in connection.execute(
            "SELECT name, concurrency, depth, rate, period_ms FROM queue"
        )
    }
    counts: dict[str, dict[str, int]] = {name: {} for name in limits}
    for queue, status, count in connection.execute("SELECT queue, status, n FROM tally"):
        counts.setdefault(queue, {})[status] = count
    return [
        QueueStatus(
            limits=limits.get(name) or QueueLimits(name=name),
            oldest=connection.execute(_OLDEST, (name,)).fetchone()[0] if counts[name].get("ready") else None,
            **counts[name],
        )
        for name in sorted(counts)
    ]
