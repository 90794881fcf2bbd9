"""What happens in a task right now: a ring of events and deltas, and the readers at their places in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from autohands.storage.events import Entry, Kept, Passing

RING_BYTES: Final = 1 << 20
GENTLE_BYTES: Final = RING_BYTES // 8
PAUSE_SECONDS: Final = 0.005


class Stream:
    """The ring of one task, capped in bytes.

    Places in it are counted from the first entry that ever was. Deltas before the last event are kept only for readers
    who have still to see them, those after it for whoever comes. `seq` is that of the last event, `torn` what the last
    delta that fell out of a full ring came after. `leased` says that the task runs here, `missed` that others have
    written since it does.
    """

    __slots__ = ("_told", "attempt", "entries", "first", "leased", "missed", "readers", "seq", "size", "torn")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.first = 0
        self.size = 0
        self.seq = 0
        self.torn = -1
        self.attempt = 1
        self.leased = self.missed = False
        self.readers: list[Reader] = []
        self._told = 0

    @property
    def end(self) -> int:
        """The place behind the last entry."""
        return self.first + len(self.entries)

    def push(self, entries: Sequence[Entry]) -> None:
        """Show events that were committed, and deltas."""
        hasty = False
        for entry in entries:
            self.entries.append(entry)
            self.size += entry.size
            if isinstance(entry, Kept):
                self.seq = max(self.seq, entry.seq)
                self._told = self.end
                hasty = True
            else:
                entry.after = self.seq
        if not self.readers:
            self.forget()
        if self.size > RING_BYTES:
            self._tear()
        for reader in self.readers:
            if hasty or self.size > GENTLE_BYTES:
                reader.wake()
            else:
                reader.wake_gently()

    def forget(self) -> None:
        """Drop what comes before the last event and has been seen by all."""
        place = min([self._told, *(reader.place for reader in self.readers)])
        self._drop(max(place - self.first, 0))

    def _tear(self) -> None:
        """Drop the oldest, seen or not, until what is left has room in the ring."""
        count, excess = 0, self.size - RING_BYTES
        while excess > 0:
            excess -= self.entries[count].size
            count += 1
        for entry in self._drop(count):
            if isinstance(entry, Passing):
                self.torn = entry.after

    def _drop(self, count: int) -> list[Entry]:
        dropped = self.entries[:count]
        if dropped:
            del self.entries[:count]
            self.first += count
            self.size = self.size - sum(entry.size for entry in dropped) if self.entries else 0
        return dropped


class Reader:
    """A place in a stream. `stale` says that the tables know of more than the stream does.

    Deltas wake it at once where it has slept for 5 ms, else when these are over: what comes faster is taken together.
    """

    __slots__ = ("_loop", "_timer", "_waiter", "_woken", "place", "stale", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.place = stream.end
        self.stale = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._woken = 0.0
        stream.readers.append(self)

    def close(self) -> None:
        """Leave the stream."""
        self._disarm()
        self.stream.readers.remove(self)

    @property
    def lagging(self) -> bool:
        """Whether something it has not seen fell out of the ring."""
        return self.place < self.stream.first

    def seek(self, seq: int) -> None:
        """Go to the first entry that comes after the event `seq`."""
        place = self.stream.first
        for entry in self.stream.entries:
            if (entry.seq > seq) if isinstance(entry, Kept) else (entry.after >= seq):
                break
            place += 1
        self.place = place

    def take(self) -> list[Entry]:
        """All entries from its place on; it is behind them then."""
        stream = self.stream
        entries = stream.entries[self.place - stream.first :]
        self.place = stream.end
        stream.forget()
        return entries

    async def wait(self) -> None:
        """Return when there may be more."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """There may be more."""
        self._disarm()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._woken = self._loop.time()
            waiter.set_result(None)

    def wake_gently(self) -> None:
        """There are more deltas."""
        if self._timer is None and self._waiter is not None:
            due = self._woken + PAUSE_SECONDS
            if due <= self._loop.time():
                self.wake()
            else:
                self._timer = self._loop.call_at(due, self.wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
