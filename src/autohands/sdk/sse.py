"""Server-Sent Events, parsed as they come (WHATWG HTML, section 9.2, "Interpreting an event stream")."""

from __future__ import annotations

from msgspec import Struct

from autohands.protocols.errors import ProviderError

EVENT_BYTES = 5 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class Event(Struct, frozen=True, gc=False):
    """One event: its data, lines joined by a newline, and its type."""

    data: str
    type: str = "message"


class EventParser:
    """Bytes in, events out, cut wherever the network cut them.

    Lines end with LF, CRLF or CR; comments and the fields `id` and `retry` are skipped; an event that the stream's end
    cuts off is dropped, as the specification wants it.
    """

    def __init__(self, event_bytes: int = EVENT_BYTES) -> None:
        self._limit = event_bytes
        self._tail: list[bytes] = []
        self._data: list[bytes] = []
        self._tail_bytes = 0
        self._data_bytes = 0
        self._type = ""
        self._first = True
        self._after_return = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes.

        Raises:
            ProviderError: An event of more than `event_bytes`.
        """
        if self._after_return or b"\r" in chunk:
            chunk = self._unify(chunk)
        elif chunk.endswith(b"\n\n") and len(chunk) <= self._limit and not (self._tail or self._data or self._type):
            return self._whole(chunk)
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._keep(chunk)
            return []
        lines = chunk[:end].split(b"\n") if not self._tail else b"".join((*self._tail, chunk[:end])).split(b"\n")
        lines.pop()
        self._tail.clear()
        self._tail_bytes = 0
        if self._first:
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        events = self._read(lines)
        if end < len(chunk):
            self._keep(chunk[end:])
        return events

    def _whole(self, chunk: bytes) -> list[Event]:
        """A chunk that neither begins nor ends within an event, as nearly all do, of events of the usual shape."""
        if self._first:
            self._first = False
            chunk = chunk.removeprefix(_BOM)
        events: list[Event] = []
        for block in chunk[:-2].split(b"\n\n"):
            head, _, data = block.rpartition(b"\n")
            if data.startswith(b"data: ") and (not head or (head.startswith(b"event: ") and b"\n" not in head)):
                kind = head[7:].decode("utf-8", "replace")
                events.append(Event(data[6:].decode("utf-8", "replace"), kind or "message"))
            else:
                events += self._read([*block.split(b"\n"), b""])
        return events

    def _read(self, lines: list[bytes]) -> list[Event]:
        return [event for line in lines if (event := self._line(line)) is not None]

    def _unify(self, chunk: bytes) -> bytes:
        """CRLF and CR as LF; a CR at the end of one chunk may be followed by the LF of the next."""
        if not chunk:
            return chunk
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_return = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, rest: bytes) -> None:
        self._tail.append(rest)
        self._tail_bytes += len(rest)
        self._check(self._tail_bytes + self._data_bytes)

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
            self._check(self._data_bytes)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> Event | None:
        kind, self._type = self._type, ""
        if not self._data:
            return None
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._data_bytes = 0
        return Event(data.decode("utf-8", "replace"), kind or "message")

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ProviderError(
                f"the service sent an event of more than {self._limit:,} bytes",
                kind="broken",
                hint="no service sends such events on purpose; check base_url",
            )
