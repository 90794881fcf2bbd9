"""Reads lines from standard input without blocking the loop, whatever it is: a terminal, a pipe, a file."""

from __future__ import annotations

import asyncio
import os
import sys

from autohands.protocols.errors import BadRequest

_BLOCK = 65_536
_LONGEST = 4_000_000


class Lines:
    """The lines of a descriptor. What was typed ahead stays unless `forget` throws it away."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._ended = False

    async def read(self) -> str | None:
        """The next line without its newline; None at the end.

        Raises:
            BadRequest: It is not UTF-8, or endless.
        """
        while b"\n" not in self._buffer and not self._ended:
            await self._readable()
            block = os.read(self._descriptor, _BLOCK)
            self._ended = not block
            self._buffer += block
            if len(self._buffer) > _LONGEST:
                raise BadRequest(f"a line of standard input is longer than {_LONGEST:,} bytes")
        if not self._buffer:
            self._ended = False  # a terminal goes on after Ctrl-D
            return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        return decoded(line)

    def forget(self) -> None:
        """Throw away what was typed before anything was asked."""
        self._buffer = b""
        if os.isatty(self._descriptor):
            import termios

            termios.tcflush(self._descriptor, termios.TCIFLUSH)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, ready.set)
        except PermissionError:  # a regular file never blocks
            return
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)


def decoded(data: bytes) -> str:
    """Bytes from standard input as text. Raises `BadRequest` where they are not UTF-8, and says where."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"standard input is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            hint="convert it, for example with iconv -f latin1 -t utf-8",
        ) from None


def read_all(limit: int) -> str:
    """All of standard input. Raises `BadRequest` beyond `limit` bytes, or where it is not UTF-8."""
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        raise BadRequest(f"standard input is longer than {limit:,} bytes", hint="put it into a file and name the file")
    return decoded(data)
