"""Signals: SIGTERM and SIGINT end the program in order, a second one sooner; SIGHUP reads its configuration anew."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGTERM, signal.SIGINT)
PATIENCE: Final = 3


class Signals:
    """What was asked for by signals. `stop` is set by the first that ends the program, `hurry` by the second.

    A third ends the process on the spot, also where its event loop is stuck: what is recorded stays recorded.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self._asked = 0

    @contextmanager
    def heard(self, reload: Callable[[], None]) -> Iterator[None]:
        """Listen to signals as long as the block lasts; `reload` is called in the event loop on SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self._end)
            signal.signal(number, self._urge)  # the loop still hears of it, by its wake-up descriptor
        loop.add_signal_handler(signal.SIGHUP, reload)
        try:
            yield
        finally:
            for number in (*ENDING, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()

    def _urge(self, number: int, _frame: FrameType | None) -> None:
        """Called between any two instructions of the main thread, whatever it is busy with."""
        self._asked += 1
        if self._asked >= PATIENCE:
            os._exit(128 + number)
