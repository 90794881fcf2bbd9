"""What happens in a task right now: a ring of events and deltas, and the readers at their places in it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from autohands.storage.events import Entry, Kept

RING_BYTES: Final = 1 << 20


class Stream:
    """The ring of one task, capped in bytes.

    Places in it are counted from the first entry that ever was. Deltas before the last event are kept only for readers
    who have still to see them, those after it for whoever comes. `seq` is that of the last event, `torn` what the last
    delta that fell out of a full ring came after.
    """

    __slots__ = ("_told", "attempt", "entries", "first", "leased", "readers", "seq", "size", "torn")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.first = 0
        self.size = 0
        self.seq = 0
        self.torn = -1
        self.attempt = 1
        self.leased = False
        self.readers: list[Reader] = []
        self._told = 0

    @property
    def end(self) -> int:
        """The place behind the last entry."""
        return self.first + len(self.entries)

    def push(self, entries: Sequence[Entry]) -> None:
        """Show events that were committed, and deltas."""
        for entry in entries:
            self.entries.append(entry)
            self.size += entry.size
            if isinstance(entry, Kept):
                self.seq = max(self.seq, entry.seq)
                self._told = self.end
            else:
                entry.after = self.seq
        if not self.readers:
            self.forget()
        while self.size > RING_BYTES:
            dropped = self._drop()
            if not isinstance(dropped, Kept):
                self.torn = dropped.after
        for reader in self.readers:
            reader.wake()

    def forget(self) -> None:
        """Drop what comes before the last event and has been seen by all."""
        place = min([self._told, *(reader.place for reader in self.readers)])
        if place == self.end:
            self.entries.clear()
            self.first, self.size = place, 0
        while self.first < place:
            self._drop()

    def _drop(self) -> Entry:
        entry = self.entries.popleft()
        self.first += 1
        self.size -= entry.size
        return entry


class Reader:
    """A place in a stream. `stale` says that the tables know of more than the stream does."""

    __slots__ = ("_waiter", "place", "stale", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.place = stream.end
        self.stale = False
        self._waiter: asyncio.Future[None] | None = None
        stream.readers.append(self)

    def close(self) -> None:
        """Leave the stream."""
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
        entries = list(islice(stream.entries, self.place - stream.first, None))
        self.place = stream.end
        stream.forget()
        return entries

    async def wait(self) -> None:
        """Return when there may be more."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """There may be more."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
