"""Tells when the last process of a test has ended: all of them inherit the writing end of a FIFO."""

import asyncio
import os
from pathlib import Path


class Witness:
    """`shell` opens it in a shell; what that starts inherits it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.shell = f"exec 9>'{path}'; "

    def somebody_lives(self) -> bool:
        try:
            return os.read(self._fd, 1) != b""
        except BlockingIOError:
            return True

    async def nobody_lives(self, seconds: float) -> None:
        """Return when every process that holds it has ended; TimeoutError after `seconds`."""
        if not self.somebody_lives():
            return  # perhaps nobody has even come to open it
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._fd, ended.set)
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        finally:
            loop.remove_reader(self._fd)

    def close(self) -> None:
        os.close(self._fd)
