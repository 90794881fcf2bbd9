"""The right to run one task: what its run writes goes through here, in order."""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import Any, Final

from msgspec.structs import replace

from autohands.protocols.changes import Change, RecordStep
from autohands.protocols.errors import Fenced, StorageUnavailable
from autohands.protocols.events import Durable, Fleeting, Reset, RetryScheduled, TurnStarted
from autohands.protocols.records import Step
from autohands.protocols.task import TaskRecord
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import now_ms
from autohands.storage.batch import Batch
from autohands.storage.claims import Claimed
from autohands.storage.database import Database
from autohands.storage.events import Entry, Kept, Passing, keep, origin_of, pass_on
from autohands.storage.streams import Stream

FLUSH_SECONDS: Final = 0.02
MOST_PENDING_BYTES: Final = 16 << 20


class Flusher:
    """Writes down within 20 ms what leases have gathered and no barrier has taken along.

    Of each lease at most one such batch is on its way: `_late` are those that have gathered more meanwhile.
    """

    def __init__(self) -> None:
        self._leases: set[Lease] = set()
        self._late: set[Lease] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def close(self) -> None:
        """Write down what there is, and take no more."""
        self._closed = True
        for lease in self._take() | self._late:
            lease.flush()

    def add(self, lease: Lease) -> None:
        """The lease has gathered something."""
        self._leases.add(lease)
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write it down now, or as soon as what is on its way has landed."""
        for lease in self._take():
            if lease.busy:
                self._late.add(lease)
            else:
                lease.flush()

    def landed(self, lease: Lease, *, refused: bool) -> None:
        """Nothing of the lease is on its way any more; after a refusal the next event tries again."""
        if lease in self._late:
            self._late.remove(lease)
            if not refused:
                lease.flush()

    def _take(self) -> set[Lease]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        leases, self._leases = self._leases, set()
        return leases


class Lease:
    """A claimed task. Events and steps gather until a barrier or the flusher takes them to the writer."""

    __slots__ = (
        *("_bytes", "_database", "_entries", "_flusher", "_in_flight", "_last", "_offsets", "_origin", "_over"),
        *("_overflowed", "_steps", "_stream", "claimed", "pausing", "unread"),
    )

    def __init__(self, claimed: Claimed, database: Database, stream: Stream, flusher: Flusher) -> None:
        self.claimed = claimed
        self.unread = claimed.unread
        self.pausing = False
        self._database = database
        self._stream = stream
        self._flusher = flusher
        self._origin = origin_of(claimed.record.id, claimed.record.session)
        self._offsets: dict[tuple[object, ...], int] = {}
        self._entries: list[Entry] = []
        self._steps: list[Step] = []
        self._bytes = 0
        self._last: Batch | None = None
        self._in_flight = 0
        self._over = False
        self._overflowed = False

    @property
    def record(self) -> TaskRecord:
        """The task as it was when claimed."""
        return self.claimed.record

    @property
    def attempt(self) -> int:
        """Which activation this is, from 1."""
        return self.claimed.record.attempt

    @property
    def busy(self) -> bool:
        """Whether something of it is on its way to the disk."""
        return self._in_flight > 0

    @property
    def over(self) -> bool:
        """Whether the task was ended, parked, or lost: nothing more can be recorded."""
        return self._over

    # --- gathering -------------------------------------------------------------------------------------------------

    def emit(self, event: Durable | Fleeting) -> None:
        """Append an event; waits for nothing. Its envelope is filled in, a delta's `offset` too."""
        if isinstance(event, Fleeting):
            self._emit_delta(event)
        else:
            self._gather(self._kept(event))

    def note(self, step: Step, event: Durable | None = None) -> None:
        """Record a step lazily. `event` tells of it and refers to it."""
        if not step.name.isascii():
            step = replace(step, name=step.name.encode("utf-8", "replace").decode())
        self._steps.append(step)
        self._bytes += len(step.output or b"")
        if event is not None:
            kept = self._kept(event)
            if (kept.turn, kept.index) == (step.turn, step.index):
                kept.output = step.output
            self._entries.append(kept)
        self._gathered()

    def _kept(self, event: Durable) -> Kept:
        kind = type(event)
        if kind is TurnStarted or kind is RetryScheduled:
            self._offsets.clear()
        return keep(event, self._origin, now_ms())

    def _emit_delta(self, event: Fleeting) -> None:
        passing = pass_on(event, self._origin, now_ms(), self.attempt, self._offset(event))
        if self._entries or self._in_flight:
            self._gather(passing)  # it is not shown before what came before it is committed
        else:
            self._stream.push((passing,))

    def _offset(self, event: Fleeting) -> int:
        """How many characters of this event's stream came before it."""
        if isinstance(event, Reset):
            self._offsets.clear()
            return 0
        key = (type(event), getattr(event, "turn", 0), getattr(event, "index", 0))
        offset = self._offsets.get(key, 0)
        self._offsets[key] = offset + len(getattr(event, "text", ""))
        return offset

    def _gather(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._bytes += len(entry.body)
        self._gathered()

    def _gathered(self) -> None:
        if self._over or self._overflowed:
            self._discard()
        elif self._bytes > MOST_PENDING_BYTES and self._in_flight:
            self._overflowed = True
            self._discard()
        elif self._bytes > MOST_PENDING_BYTES:
            self.flush()  # nothing waits before it: it may be as large as it is
        else:
            self._flusher.add(self)

    def _discard(self) -> None:
        self._entries, self._steps, self._bytes = [], [], 0

    # --- writing ---------------------------------------------------------------------------------------------------

    async def commit(self, *changes: Change, event: Durable | None = None) -> list[Any]:
        """A barrier: everything gathered so far, `changes` and `event`, in one transaction, synced to disk.

        Returns: the result of each change, in order.

        Raises:
            Fenced: The lease was lost, or the task has ended or parked.
            StorageUnavailable: The disk refuses, or did so for too long.
        """
        if self._over:
            raise Fenced(f"task {self.record.id} runs elsewhere, or has ended")
        if self._overflowed:
            raise StorageUnavailable(
                f"task {self.record.id}: more than {MOST_PENDING_BYTES:,} bytes waited to be written",
                hint="the disk is too slow or refuses; the task goes on from what is recorded",
            )
        failpoint("lease.committing")
        batch = self._take()
        batch.changes = changes
        if event is not None:
            batch.event = self._own_event(event, changes)
        batch.future = asyncio.get_running_loop().create_future()
        self._send(batch)
        return await batch.future

    async def conclude(self, change: Change, event: Durable | None = None) -> None:
        """Commit the last change of an activation, with whatever can still be recorded before it."""
        self._overflowed = False
        await self.commit(change, event=event)

    def flush(self) -> None:
        """Send what was gathered to the writer."""
        if (self._entries or self._steps) and not self._over:
            self._send(self._take())

    def forget(self) -> None:
        """Give up what was gathered and refused."""
        self._last = None
        self._discard()

    def _own_event(self, event: Durable, changes: tuple[Change, ...]) -> Kept:
        kept = self._kept(event)
        for change in changes:
            if isinstance(change, RecordStep) and (change.step.turn, change.step.index) == (kept.turn, kept.index):
                kept.output = change.step.output
        return kept

    def _take(self) -> Batch:
        batch = Batch(self.claimed, self._entries, self._steps, self._last)
        self._discard()
        return batch

    def _send(self, batch: Batch) -> None:
        batch.work = self._database.submit(batch, lambda _work: self._landed(batch))
        self._last = batch
        self._in_flight += 1

    def _landed(self, batch: Batch) -> None:
        self._in_flight -= 1
        try:
            failpoint("lease.landed")
            self._take_in(batch)
        finally:
            _resolve(batch)

    def _take_in(self, batch: Batch) -> None:
        error = batch.work.error if batch.work else None
        if isinstance(error, Fenced) or batch.ended:
            self._over = True
            self._discard()
        if self._in_flight == 0:
            self._last = None
            if error is not None and not self._over:
                self._take_back(batch)
                if batch.changes and not isinstance(error, StorageUnavailable):
                    self._flusher.add(self)  # it was a change that was refused, not what was gathered
            self._show_deltas()
            self._flusher.landed(self, refused=error is not None)
        if error is None:
            batch.previous = None

    def _take_back(self, batch: Batch) -> None:
        """What was refused waits, before what came after it, for the next event or barrier to try again."""
        entries, steps = batch.unrecorded()
        self._entries[:0], self._steps[:0] = entries, steps
        self._bytes += sum(len(entry.body) for entry in entries) + sum(len(step.output or b"") for step in steps)

    def _show_deltas(self) -> None:
        """Show the deltas that no event stands before any more."""
        shown = list(takewhile(lambda entry: isinstance(entry, Passing), self._entries))
        if shown:
            self._stream.push(shown)
            del self._entries[: len(shown)]


def _resolve(batch: Batch) -> None:
    if batch.future is None or batch.future.done() or batch.work is None:
        return
    if batch.work.error is None:
        batch.future.set_result(batch.work.result)
    else:
        batch.future.set_exception(batch.work.error)
