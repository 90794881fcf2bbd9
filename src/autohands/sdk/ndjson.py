"""Streams of one JSON value a line (NDJSON), cut into their lines as they come."""

from __future__ import annotations

from autohands.protocols.errors import ProviderError
from autohands.sdk.sse import EVENT_BYTES, Event

_BOM = b"\xef\xbb\xbf"


class LineParser:
    """Bytes in, lines out, each the data of an event; a line that the stream's end cuts off is dropped.

    Lines end with LF, CRLF or CR, none of which stands inside a JSON value as it is; empty ones are skipped.
    """

    def __init__(self, line_bytes: int = EVENT_BYTES) -> None:
        self._limit = line_bytes
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._first = True

    def feed(self, chunk: bytes) -> list[Event]:
        """The lines that `chunk` completes.

        Raises:
            ProviderError: A line of more than `line_bytes`.
        """
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r", b"\n")
        whole, end, rest = chunk.rpartition(b"\n")
        if not end:
            self._keep(rest)
            return []
        data = b"".join((*self._tail, whole)) if self._tail else whole
        self._tail.clear()
        self._tail_bytes = 0
        if self._first:
            self._first = False
            data = data.removeprefix(_BOM)
        self._keep(rest)
        return [Event(line.decode("utf-8", "replace")) for line in data.split(b"\n") if line and not line.isspace()]

    def _keep(self, rest: bytes) -> None:
        if not rest:
            return
        self._tail.append(rest)
        self._tail_bytes += len(rest)
        if self._tail_bytes > self._limit:
            raise ProviderError(
                f"the service sent a line of more than {self._limit:,} bytes",
                kind="broken",
                hint="no service sends such lines on purpose; check base_url",
            )
