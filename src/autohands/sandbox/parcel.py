"""The descriptors of one command: those that its supervisor gets, and the near ends that we keep."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from contextlib import ExitStack
from types import TracebackType

from autohands.protocols.process import Command

from .spool import nameless_file

IN_MEMORY = hasattr(os, "memfd_create")
TERMINAL_ROWS = 40
TERMINAL_COLUMNS = 160


class Parcel:
    """Opens what a command needs. At the end of its context the supervisor has its share, and our copies are closed.

    `sent` names what goes to the supervisor. We keep `near`, which holds the output, `input`, which feeds a pipe, and
    `terminal`, our side of one whose other side has the path `terminal_path`.
    """

    def __init__(self, command: Command, spool_dir: str) -> None:
        self.sent: dict[str, int] = {}
        self.input: int | None = None
        self.terminal: int | None = None
        self.terminal_path = ""
        self._lent = ExitStack()
        with ExitStack() as undo:
            undo.push(self._lent)
            self.near = self.sent["near"] = nameless_file(None if IN_MEMORY else spool_dir)
            undo.callback(os.close, self.near)
            if isinstance(command.cwd, int):
                self.sent["directory"] = command.cwd
            if command.pty:
                self._open_terminal(undo)
            self._open_input(command, spool_dir, undo)
            undo.pop_all()

    def __enter__(self) -> Parcel:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._lent.close()

    def _lend(self, name: str, descriptor: int) -> None:
        self.sent[name] = descriptor
        self._lent.callback(os.close, descriptor)

    def _open_terminal(self, undo: ExitStack) -> None:
        self.terminal, theirs = os.openpty()
        undo.callback(os.close, self.terminal)
        self._lent.callback(os.close, theirs)  # held until the command has opened it
        self.terminal_path = os.ttyname(theirs)
        self.sent["master"] = self.terminal
        os.set_blocking(self.terminal, False)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", TERMINAL_ROWS, TERMINAL_COLUMNS, 0, 0))
        modes = termios.tcgetattr(theirs)
        modes[1] &= ~termios.OPOST  # output as it is, newline for newline
        modes[3] &= ~termios.ECHO  # nobody watches what is typed
        termios.tcsetattr(theirs, termios.TCSANOW, modes)

    def _open_input(self, command: Command, spool_dir: str, undo: ExitStack) -> None:
        if command.stdin == "pipe":
            theirs, self.input = os.pipe()
            undo.callback(os.close, self.input)
            self._lend("input", theirs)
            os.set_blocking(self.input, False)
        elif isinstance(command.stdin, bytes):
            whole = nameless_file(None if IN_MEMORY else spool_dir)
            self._lend("input", whole)
            os.write(whole, command.stdin)
            os.lseek(whole, 0, os.SEEK_SET)
