"""A shell on a terminal that takes one command at a time and says when each has ended, with status and directory.

Commands reach it through a pipe, so none can be eaten by a program that reads the terminal, and no quote left open can
hold the next one. Behind each stands the order to print a mark that only this command's end can print: a sequence that
terminals ignore, with a random word. The shell is interactive, so Ctrl-C ends a command and not the shell.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from autohands.protocols.errors import Conflict
from autohands.protocols.process import ExitStatus, Process
from autohands.sdk import ToolError
from autohands.sdk.clip import decode

from .commandline import shell_program

OPENING = r"""PS1= PS2= HISTFILE=; unset MAILCHECK PROMPT_COMMAND TMOUT; [ -z "$BASH_VERSION" ] || set +H +o history
__autohands_status=0; exec 4>&1
__autohands_again() { return $__autohands_status; }
__autohands_run() { __autohands_again; command eval "$1" </dev/tty >&4 2>&4 4>&-; }
__autohands_mark() { __autohands_status=$?; printf '\033]777;%s;%s;%s\007' "$1" "$__autohands_status" "$PWD" >&4; }
"""
OPENING_SECONDS = 20.0
INTERRUPT_SECONDS = 2.0
LONGEST_MARK = 8_192
MARK = rb"\x1b\]777;%s;(\d+);(.*?)\x07"

Show: TypeAlias = Callable[[bytes], None]


class Executed(Struct, frozen=True):
    """What a command did: its output from `start` to `end`, its status, the directory it left the shell in.

    `status` and `cwd` are None where the shell ended with it: `ended` says how. `timed_out` if it was interrupted.
    """

    start: int
    end: int
    status: int | None = None
    cwd: str | None = None
    ended: ExitStatus | None = None
    timed_out: bool = False


class Shell:
    """Executes commands in one shell process, one after another."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._lock = asyncio.Lock()
        self._cursor = process.total
        self._window = b""

    @staticmethod
    def argv() -> tuple[str, ...]:
        """How to start one: on a terminal, with a pipe for its commands."""
        program = shell_program()
        return (program, "--noprofile", "--norc", "--noediting", "-i") if program.endswith("bash") else (program, "-i")

    async def open(self) -> Executed:
        """Prepare it; what it printed until then is skipped."""
        return await self._run(OPENING, OPENING_SECONDS, lambda data: None)

    async def execute(self, command: str, timeout_seconds: float, show: Show) -> Executed:
        """Run a command until it ends. After `timeout_seconds` it is interrupted, and killed if it does not heed that.

        `show` gets its output as it comes. If the caller is cancelled the command is killed.
        """
        if "\0" in command:
            raise ToolError("a command cannot contain the character NUL")
        return await self._run(f"__autohands_run {shlex.quote(command)}\n", timeout_seconds, show)

    async def _run(self, line: str, timeout_seconds: float, show: Show) -> Executed:
        async with self._lock:
            word, start = os.urandom(8).hex(), self._cursor
            self._window = b""
            try:
                await self._send(f"{line}__autohands_mark {word}\n")
                for kill, limit in ((None, timeout_seconds), (False, INTERRUPT_SECONDS), (True, INTERRUPT_SECONDS)):
                    if kill is not None:
                        self.process.interrupt(kill=kill)
                        await self._send(f"__autohands_mark {word}\n")  # some shells drop what they have read ahead
                    if executed := await self._within(limit, start, word, show):
                        return replace(executed, timed_out=kill is not None)
                ended = await self.process.terminate(0, "timeout")
                return Executed(start, self.process.total, ended=ended, timed_out=True)
            except asyncio.CancelledError:
                self.process.interrupt(kill=True)
                raise

    async def _send(self, text: str) -> None:
        with suppress(Conflict):  # the shell has ended: reading on will tell
            await self.process.write(text.encode("utf-8", "surrogateescape"))

    async def _within(self, seconds: float, start: int, word: str, show: Show) -> Executed | None:
        """Read on until the mark with this word, or the shell's end; None where the time is over before."""
        try:
            async with asyncio.timeout(seconds):
                while (executed := self._look(start, word)) is None:
                    await self._read_on(word, show)
                return executed
        except TimeoutError:
            return None

    def _look(self, start: int, word: str) -> Executed | None:
        if found := re.search(MARK % word.encode(), self._window, re.DOTALL):
            end = self._cursor - len(self._window) + found.start()
            self._cursor += found.end() - len(self._window)
            return Executed(start, end, int(found[1]), decode(found[2]))
        if self.process.status is not None and self._cursor >= self.process.total:
            return Executed(start, self._cursor, ended=self.process.status)
        return None

    async def _read_on(self, word: str, show: Show) -> None:
        await self.process.grown(self._cursor)
        chunk = self.process.read(self._cursor)
        if chunk.skipped:
            await self._send(f"__autohands_mark {word}\n")  # the mark may have been among what is no longer kept
        self._window = self._window[-LONGEST_MARK:] + chunk.data if not chunk.skipped else chunk.data
        self._cursor = chunk.next
        show(chunk.data)
