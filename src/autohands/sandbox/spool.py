"""Where output is kept while it is produced: both ends at hand in memory, the whole in a file without a name.

The near file is made by whoever reads; it has a count, the first bytes, and a ring with the latest. When more was
printed than it holds, all of it is also written to the far file, up to a limit. Neither has a name, so nothing is left
behind, however the programs end. Standard library only: supervisors load nothing else.
"""

from __future__ import annotations

import os

COUNT = 8
HEAD = 64 << 10
RING = 192 << 10
NEAR = HEAD + RING


def nameless_file(directory: str | None = None) -> int:
    """A descriptor of an empty file without a name: in `directory`, or in memory where the system can."""
    if directory is None and hasattr(os, "memfd_create"):
        return os.memfd_create("autohands-output", os.MFD_CLOEXEC)
    import tempfile

    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        return os.dup(file.fileno())


class SpoolWriter:
    """Takes all output, in constant memory, and never fails: on a full disk only the two ends are kept."""

    def __init__(self, near: int, directory: str, most_bytes: int) -> None:
        self.total = 0
        self.far: int | None = None
        self._near = near
        self._directory = directory
        self._room = most_bytes

    def write(self, data: bytes) -> None:
        """Keep the next bytes, at most as many as the ring holds."""
        if self.total + len(data) > NEAR and self._room > 0:
            self._write_far(data)
        start, self.total = self.total, self.total + len(data)
        os.pwrite(self._near, self.total.to_bytes(COUNT, "little"), 0)
        while data:
            place, room = where(start)
            os.pwrite(self._near, data[:room], place)
            start, data = start + room, data[room:]

    def close(self) -> None:
        """Give the far file back; whoever reads has its own descriptor."""
        if self.far is not None:
            os.close(self.far)

    def _write_far(self, data: bytes) -> None:
        try:
            if self.far is None:
                self.far = nameless_file(self._directory)
                self._append(os.pread(self._near, self.total, COUNT))
            self._append(data)
        except OSError:
            self._room = 0

    def _append(self, data: bytes) -> None:
        if self.far is not None:
            written = os.write(self.far, data[: self._room])
            self._room -= written if written == len(data) else self._room


class SpoolReader:
    """Reads by cursor what a writer in another process has kept."""

    def __init__(self, near: int) -> None:
        self.far: int | None = None
        self._near = near

    def read(self, cursor: int, most_bytes: int, total: int) -> tuple[bytes, int]:
        """Bytes at `cursor` of the `total` that are known to be written, and how many before them are lost."""
        want = min(most_bytes, total - cursor)
        if want <= 0:
            return b"", 0
        if cursor >= HEAD and self.far is not None and (data := os.pread(self.far, want, cursor)):
            return data, 0
        oldest = max(HEAD, total - RING)
        lost = max(oldest - cursor, 0) if cursor >= HEAD else 0
        place, room = where(cursor + lost)
        data = os.pread(self._near, min(want, room, total - cursor - lost), place)
        overtaken = self._claimed() - RING - (cursor + lost) if cursor >= HEAD else 0
        return (data[overtaken:], lost + min(overtaken, len(data))) if overtaken > 0 else (data, lost)

    def close(self) -> None:
        """Give the files back; nothing can be read any more."""
        for descriptor in (self._near, self.far):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self._near, self.far = -1, None

    def _claimed(self) -> int:
        return int.from_bytes(os.pread(self._near, COUNT, 0), "little")


def where(position: int) -> tuple[int, int]:
    """The place of an output position in the near file, and how many bytes follow it there without a break."""
    if position < HEAD:
        return COUNT + position, HEAD - position
    turn = (position - HEAD) % RING
    return COUNT + HEAD + turn, RING - turn
