"""Parts of a process's output, by position."""

from __future__ import annotations

from autohands.protocols.process import Process


def span(process: Process, start: int, end: int) -> bytes:
    """Everything from `start` to `end` that is still kept."""
    parts = []
    while start < end:
        chunk = process.read(start, end - start)
        if chunk.next == start:
            break
        past = max(0, chunk.next - end)
        parts.append(chunk.data[: max(0, len(chunk.data) - past)])
        start = chunk.next
    return b"".join(parts)


def both_ends(process: Process, start: int, end: int, most_bytes: int) -> tuple[bytes, bytes]:
    """All from `start` to `end` and nothing; where that is too much its two ends, half of `most_bytes` each."""
    if end - start <= most_bytes:
        return span(process, start, end), b""
    half = most_bytes // 2
    return span(process, start, start + half), span(process, end - half, end)
