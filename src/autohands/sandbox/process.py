"""A running command as the program sees it: what its supervisor tells, its output by cursor, its input."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct, convert

from autohands.protocols.errors import Conflict, TooBusy, ToolError
from autohands.protocols.process import Captured, Chunk, EndReason, ExitStatus

from .line import News, Order, packed, receive
from .parcel import Parcel
from .spool import SpoolReader

CHUNK = 65_536
CLOSING_GRACE_SECONDS = 0.5
CLOSING_SECONDS = 10.0


class NoSupervisor(Exception):
    """The line ended without an answer: the supervisor could not be forked, or it was killed."""


class Failure(Struct, frozen=True):
    """Why a command did not start: errno, and whether the program, its directory or the process itself was at fault."""

    errno: int
    about: str

    def error(self, program: str) -> Exception:
        """As an error for whoever asked."""
        why = os.strerror(self.errno)
        match self.about:
            case "program":
                return ToolError(f"cannot run {program!r}: {why}")
            case "directory":
                return ToolError(f"cannot run {program!r} in that directory: {why}")
            case _:
                return TooBusy(f"cannot run {program!r}: no more processes can be had ({why})")


class RunningProcess:
    """The program's end of a command: implements `Process`.

    It keeps the near ends of the parcel, and of the line to its supervisor, which `hand_back` gets when the command has
    ended: the supervisor is free for the next.
    """

    def __init__(self, parcel: Parcel, line: socket.socket, hand_back: Callable[[socket.socket], None]) -> None:
        self.pid = 0
        self.total = 0
        self.status: ExitStatus | None = None
        self.kept = False
        self._failure: Failure | None = None
        self._line: socket.socket | None = line
        self._hand_back = hand_back
        self._spool = SpoolReader(parcel.near)
        self._input = parcel.input
        self._terminal = parcel.terminal
        self._writing = asyncio.Lock()
        self._news = b""
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(line.fileno(), self._hear, line)

    async def give(self, order: Order, parcel: Parcel) -> None:
        """Hand the order and its descriptors to the supervisor; return when the command runs.

        Raises:
            ToolError: There is no such program or directory, or it may not be run.
            TooBusy: No more processes can be had.
            NoSupervisor: Nobody answered.
        """
        if self._line is not None:
            data = packed(order)
            with suppress(BrokenPipeError, ConnectionResetError):
                sent = socket.send_fds(self._line, [data], list(parcel.sent.values()))
                await self._loop.sock_sendall(self._line, data[sent:])
        while not self.pid and self._failure is None and self.status is None:
            await self._change()
        if self._failure is not None:
            raise self._failure.error(order["argv"][0])
        if not self.pid:
            raise NoSupervisor

    async def wait(self) -> ExitStatus:
        """Return when the program has ended and nothing that it started is left."""
        while self.status is None:
            await self._change()
        return self.status

    async def grown(self, past: int) -> int:
        """The total, as soon as more than `past` bytes were printed or it has ended."""
        while self.total <= past and self.status is None:
            await self._change()
        return self.total

    def read(self, cursor: int, most_bytes: int = CHUNK) -> Chunk:
        """Output from `cursor` on, as far as there is any."""
        data, skipped = self._spool.read(cursor, most_bytes, self.total)
        return Chunk(data, cursor + skipped + len(data), skipped)

    async def captured(self, most_bytes: int = 32_768) -> Captured:
        """Wait for the end; head and tail of the output, half of `most_bytes` each."""
        status = await self.wait()
        if self.total <= most_bytes:
            return Captured(status, self._between(0, self.total), b"", self.total)
        half = most_bytes // 2
        return Captured(status, self._between(0, half), self._between(self.total - half, self.total), self.total)

    async def write(self, data: bytes) -> None:
        """Feed its input. Raises `Conflict` where that is closed."""
        async with self._writing:
            while data:
                try:
                    data = data[os.write(self._open_input(), data) :]
                except BlockingIOError:
                    await writable(self._open_input())
                except OSError as error:
                    raise Conflict("the process no longer reads its input") from error

    def close_stdin(self) -> None:
        """End its input: closes the pipe, or types Ctrl-D into the terminal."""
        if self._input is not None:
            os.close(self._input)
            self._input = None
        elif self._terminal is not None:
            with suppress(OSError):
                os.write(self._terminal, b"\x04")

    def interrupt(self, *, kill: bool = False) -> None:
        """Signal what runs in the foreground, as Ctrl-C does (SIGINT); with `kill` by SIGKILL."""
        if self.status is not None:
            return
        with suppress(OSError):
            group = self.pid if self._terminal is None else os.tcgetpgrp(self._terminal)
            os.killpg(group, signal.SIGKILL if kill else signal.SIGINT)

    async def terminate(self, grace_seconds: float = 2.0, reason: EndReason = "cancelled") -> ExitStatus:
        """SIGTERM to all of it, after the grace SIGKILL; return when nothing is left."""
        if self._line is not None:
            try:
                self._line.send(packed({"end": reason, "grace_seconds": grace_seconds}))
            except OSError:
                self._hang_up()
        return await self.wait()

    async def close(self) -> None:
        """End it if it runs, and give back what it holds unless it is `kept`; also when cancelled on the way."""
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self.terminate(CLOSING_GRACE_SECONDS)
        except TimeoutError:
            self._hang_up()
        finally:
            if not self.kept:
                self.release()

    def release(self) -> None:
        """Give everything back at once; a supervisor that still runs ends its command by itself."""
        self._hang_up()
        self._spool.close()

    def _hear(self, line: socket.socket) -> None:
        try:
            data, descriptors = receive(line, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            self._spool.far = descriptor
        *news, self._news = (self._news + data).split(b"\n")
        for words in news:
            self._heed(json.loads(words))
        if not data:
            self._hang_up()
        self._wake()

    def _heed(self, news: News) -> None:
        self.pid = news.get("pid", self.pid)
        self.total = news.get("total", self.total)
        if failed := news.get("failed"):
            number, about = failed.split()
            self._failure = Failure(int(number), about)
        if done := news.get("done"):
            self.status = convert(done, ExitStatus)
        if (failed or done) and (line := self._let_go()):
            self._hand_back(line)

    def _let_go(self) -> socket.socket | None:
        """Stop listening, and close the input: the command has ended, or is left to its supervisor."""
        for descriptor in (self._input, self._terminal):
            if descriptor is not None:
                os.close(descriptor)
        self._input = self._terminal = None
        line, self._line = self._line, None
        if line is not None:
            self._loop.remove_reader(line.fileno())
        return line

    def _hang_up(self) -> None:
        """Close the line; without a word that it ended, the command counts as lost."""
        if line := self._let_go():
            line.close()
        if self.status is None:
            self.status = ExitStatus(None, reason="lost")
        self._wake()

    def _between(self, start: int, end: int) -> bytes:
        parts = []
        while start < end and (chunk := self.read(start, end - start)).next > start:
            parts.append(chunk.data)
            start = chunk.next
        return b"".join(parts)

    def _open_input(self) -> int:
        descriptor = self._terminal if self._input is None else self._input
        if descriptor is None:
            raise Conflict("the process has no open input")
        return descriptor

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def _change(self) -> None:
        future = self._loop.create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


async def writable(descriptor: int) -> None:
    """Return when a descriptor takes more."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)
