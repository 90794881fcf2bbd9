"""Where events are read: stored ones from the tables, then live ones from the task's stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from autohands.protocols.errors import NotFound
from autohands.protocols.events import Reset
from autohands.sdk.identity import now_ms
from autohands.storage.database import Database
from autohands.storage.events import Entry, Kept, Page, Passing, origin_of, pass_on, read_page
from autohands.storage.readers import Readers
from autohands.storage.streams import Reader, Stream

PAGE: Final = 500


class Journal:
    """Readers of events, each at its own cursor."""

    def __init__(self, database: Database, readers: Readers) -> None:
        self._database = database
        self._readers = readers
        self._streams: dict[str, Stream] = {}

    async def events(self, task: str, after: int = 0, limit: int = 1000) -> list[bytes]:
        """Stored events as JSON, at most `limit`, from the one after `after`.

        Raises:
            NotFound: There is no such task.
        """
        return [entry.json() for entry in (await self.page(task, after, limit)).entries]

    async def follow(self, task: str, after: int = 0) -> AsyncIterator[bytes]:
        """The events of a task as JSON: stored ones, then live ones with their deltas, until `run.finished`.

        A reader whose partial text is no longer good gets `reset`: it lagged too far behind, came back in the middle of
        a reply, or a further attempt began.

        Raises:
            NotFound: There is no such task.
        """
        reader = Reader(self._stream(task))
        try:
            with self._database.watching():
                following = _Following(self, task, after, reader)
                while lines := await following.more():
                    lines.reverse()
                    while lines:  # none is kept while the next ones are waited for
                        yield lines.pop()
        finally:
            reader.close()
            self._tidy(task)

    async def page(self, task: str, after: int, limit: int) -> Page:
        """Stored events of a task."""
        page = await self._readers.read(lambda connection: read_page(connection, task, after, limit))
        if page is None:
            raise NotFound(f"there is no task {task!r}")
        return page

    # --- for those who write ---------------------------------------------------------------------------------------

    def show(self, task: str, entries: Sequence[Entry]) -> None:
        """Show events that were committed here, and deltas among them, to those who follow."""
        stream = self._streams.get(task)
        if stream is not None:
            stream.push(entries)

    def lease(self, task: str, seq: int, attempt: int) -> Stream:
        """The stream of a task that runs here from now on; `seq` is that of its last event."""
        stream = self._stream(task)
        stream.leased, stream.attempt, stream.seq = True, attempt, max(stream.seq, seq)
        return stream

    def release(self, task: str) -> None:
        """The task does not run here any more."""
        if stream := self._streams.get(task):
            stream.leased = False
            if stream.missed:
                _have_read(stream)
            self._tidy(task)

    def refresh(self) -> None:
        """Another process has written: what runs elsewhere is read from the tables."""
        for stream in self._streams.values():
            if stream.leased:
                stream.missed = True  # the lease may have been lost: that is known when it is given back
            else:
                _have_read(stream)

    def _stream(self, task: str) -> Stream:
        stream = self._streams.get(task)
        if stream is None:
            stream = self._streams[task] = Stream()
        return stream

    def _tidy(self, task: str) -> None:
        stream = self._streams.get(task)
        if stream is not None and not stream.leased and not stream.readers:
            del self._streams[task]


def _have_read(stream: Stream) -> None:
    """Have the readers of a stream look into the tables."""
    stream.missed = False
    for reader in stream.readers:
        reader.stale = True
        reader.wake()


class _Following:
    """One reader's progress: `partial` while it may hold text of a reply that has not been finished."""

    __slots__ = (
        *("_behind", "_ended", "_joining", "_journal", "_partial", "_reader", "_seq", "_session", "_task", "_torn"),
    )

    def __init__(self, journal: Journal, task: str, after: int, reader: Reader) -> None:
        self._journal = journal
        self._task = task
        self._session = ""
        self._seq = after
        self._reader = reader
        self._partial = after > 0
        self._torn = -1
        self._joining = True
        self._behind = True
        self._ended = False

    async def more(self) -> list[bytes]:
        """What happened since, at least one line; nothing when there will be no more."""
        while not self._ended:
            if self._behind:
                lines = await self._stored()
            else:
                lines = self._live()
                if not lines and not self._behind:
                    await self._reader.wait()
            if lines:
                return lines
        return []

    async def _stored(self) -> list[bytes]:
        self._reader.stale = False
        page = await self._journal.page(self._task, self._seq, PAGE)
        self._session, self._ended = page.session, page.ended
        lines: list[bytes] = []
        for entry in page.entries:
            self._tell(entry, lines)
        if len(page.entries) < PAGE:
            self._behind = False
            self._reader.seek(self._seq)
            if self._joining:
                self._torn = self._reader.stream.torn
        return lines

    def _live(self) -> list[bytes]:
        lines: list[bytes] = []
        if self._reader.lagging:
            self._behind = self._joining = True
            self._reset(lines)
        elif self._reader.stale:
            self._behind = True
        if not self._behind:
            self._hear(lines)
        return lines

    def _hear(self, lines: list[bytes]) -> None:
        """Tell what is in the stream, as far as nothing is missing before it."""
        for entry in self._reader.take():
            if isinstance(entry, Passing):
                self._pass(entry, lines)
            elif entry.seq == self._seq + 1:
                self._tell(entry, lines)
                self._ended = entry.type == "run.finished"
            elif entry.seq > self._seq:
                self._behind = True
            if self._behind or self._ended:
                break

    def _tell(self, entry: Kept, lines: list[bytes]) -> None:
        if entry.type == "run.resumed":
            self._reset(lines)
        elif entry.type in ("turn.started", "replied"):
            self._partial = False
        self._seq = entry.seq
        lines.append(entry.json())

    def _pass(self, entry: Passing, lines: list[bytes]) -> None:
        torn = entry.after <= self._torn
        if self._joining or torn:
            self._reset(lines)
            self._joining = False
        if not torn:
            self._partial = True
            lines.append(entry.json())

    def _reset(self, lines: list[bytes]) -> None:
        """Have the reader forget partial text, if it may have any."""
        if self._partial:
            self._partial = False
            origin = origin_of(self._task, self._session)
            reset = pass_on(Reset(), origin, now_ms(), self._reader.stream.attempt, 0)
            reset.after = self._seq
            lines.append(reset.json())
