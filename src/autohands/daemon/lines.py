"""Lines on a descriptor that nobody may be reading: who says one never waits, and never fails."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Full, Queue
from typing import Final

MOST_LINES: Final = 10_000
LAST_SECONDS: Final = 1.0
_BATCH_BYTES: Final = 1 << 16


class Lines:
    """Written by a thread of its own, in order.

    Where nobody reads, up to 10,000 wait; further ones are dropped, and `dropped` makes the line that says how many.
    Where nobody can read any more, all are.
    """

    def __init__(self, descriptor: int, dropped: Callable[[int], str], most: int = MOST_LINES) -> None:
        self._descriptor = descriptor
        self._dropped = dropped
        self._waiting: Queue[bytes | None] = Queue(most)
        self._lost = 0
        self._thread = threading.Thread(target=self._live, name="autohands-lines", daemon=True)

    @contextmanager
    def written(self, last_seconds: float = LAST_SECONDS) -> Iterator[None]:
        """Write as long as the block lasts; what waits at its end has `last_seconds` to be taken."""
        self._thread.start()
        try:
            yield
        finally:
            try:
                self._waiting.put(None, timeout=last_seconds)
                self._thread.join(last_seconds)
            except Full:
                pass  # it writes to nobody, and dies with the process

    def put(self, line: str) -> None:
        """Say a line, without its end. From any thread."""
        try:
            self._waiting.put_nowait(f"{line}\n".encode("utf-8", "backslashreplace"))
        except Full:
            self._lost += 1

    def _live(self) -> None:
        try:
            while (line := self._waiting.get()) is not None:
                self._write(line)
                if self._waiting.empty():
                    self._tell_dropped()
            self._tell_dropped()
        except OSError:  # nobody can read any more
            while self._waiting.get() is not None:
                pass

    def _tell_dropped(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._write(f"{self._dropped(lost)}\n".encode())

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data[:_BATCH_BYTES]) :]
            except BlockingIOError:  # whoever shares the descriptor has set it so
                select.select([], [self._descriptor], [])
