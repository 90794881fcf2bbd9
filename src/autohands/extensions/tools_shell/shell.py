"""A shell on a terminal that takes one command at a time and says when each has ended, with status and directory.

Commands reach it through a pipe, so none can be eaten by a program that reads the terminal, and no quote left open can
hold the next one. Behind each stands the order to print a mark that only this command's end can print: a sequence that
terminals ignore, with a random word. The shell is interactive, so Ctrl-C ends a command and not the shell.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
from collections.abc import Callable

from msgspec import Struct

from autohands.protocols.errors import Conflict
from autohands.protocols.process import ExitStatus, Process
from autohands.sdk import ToolError

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
Show = Callable[[bytes], None]


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
        self._process = process
        self._lock = asyncio.Lock()
        self._cursor = 0

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
            word = secrets.token_hex(8)
            try:
                await self._process.write(f"{line}__autohands_mark {word}\n".encode("utf-8", "surrogateescape"))
            except Conflict as error:
                raise ToolError("the shell has ended") from error
            finish = asyncio.ensure_future(self._until_marked(word, show))
            try:
                if await _within(finish, timeout_seconds):
                    return finish.result()
                return await self._interrupted(finish, word)
            finally:
                if not finish.done():
                    self._process.interrupt(kill=True)
                    finish.cancel()
