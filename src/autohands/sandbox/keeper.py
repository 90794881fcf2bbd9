"""A supervisor: starts one command at a time, takes its output, holds its limits, until nothing of it is left.

It is a subreaper: orphans of the command become its children, so it knows them all. It hears its orders on a line, and
takes the end of the line for the end of the program that asked, however that came about. Standard library only.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import time
from typing import Any

from .clock import Clock
from .launch import Descriptors, NotLaunched, become_subreaper, launch, limit_self
from .line import Line, Order
from .spool import SpoolWriter
from .tree import LINUX, descendants, exact_memory, kill_all, memory, signal_all

CHUNK = 65_536
SHELL_SIGNALLED = 128
ABANDONED_GRACE_SECONDS = 0.5
ORPHAN_GRACE_SECONDS = 0.3
KILL_AGAIN_SECONDS = 0.02
GIVE_UP_SECONDS = 5.0
DRAIN_SECONDS = 0.5
LOOK_SECONDS = 0.1
LOOK_SHARE = 20
TELL_AFTER_SECONDS = 0.002
TELL_EVERY_SECONDS = 0.02
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGCONT)


class Unkillable(Exception):
    """Something of a command stays, whatever is done: it belongs to another user, or hangs in the kernel."""


class Keeper:
    """Supervises the command of one order until nothing of it is left."""

    def __init__(self, line: Line, order: Order, descriptors: Descriptors, wakeup: int) -> None:
        self._line = line
        self._order = order
        self._wakeup = wakeup
        self._limits: dict[str, int] = order["limits"]
        self._near = descriptors.pop("near")
        self._output = descriptors.pop("master", -1)
        self._wired = descriptors
        self._spool = SpoolWriter(self._near, order["spool"], self._limits["kept_bytes"])
        self._clock = Clock()
        self._poll = select.poll()
        self._child = 0
        self._status: int | None = None
        self._reason = ""
        self._childless = False
        self._far_told = False
        self._told_at = 0.0

    def run(self) -> bool:
        """Start the command, stay until the end, tell how it ended. False if something of it could not be killed."""
        started = time.monotonic()
        try:
            self._start()
            self._line.send({"pid": self._child})
            self._watch()
            while self._status is None or not self._childless:
                self._turn()
            self._drain()
            self._tell({"done": self._ending(time.monotonic() - started), "total": self._spool.total})
        except NotLaunched as error:
            self._line.send({"failed": f"{error.errno} {error.about}"})
        except Unkillable:
            self._tell({"done": self._ending(time.monotonic() - started), "total": self._spool.total})
            return False
        finally:
            self._close()
        return True

    def _start(self) -> None:
        if not self._order["terminal"]:
            self._output, self._wired["output"] = os.pipe()
        try:
            self._child = launch(self._order, self._wired)
        finally:
            while self._wired:
                os.close(self._wired.popitem()[1])

    def _close(self) -> None:
        self._spool.close()
        os.close(self._near)
        if self._output >= 0:
            os.close(self._output)

    def _watch(self) -> None:
        os.set_blocking(self._output, False)
        for descriptor in (self._output, self._wakeup, self._line.fileno()):
            self._poll.register(descriptor, select.POLLIN)
        if self._order["timeout_seconds"] is not None:
            self._clock.set("timeout", self._order["timeout_seconds"])
        if "memory_bytes" in self._limits or "processes" in self._limits:
            self._clock.set("look", LOOK_SECONDS / 2)

    def _turn(self) -> None:
        """Wait for something to happen or to be due, and deal with it."""
        for descriptor, _ in self._poll.poll(math.ceil(self._clock.wait_seconds() * 1000)):
            if descriptor == self._output:
                self._take_output()
            elif descriptor == self._wakeup:
                os.read(self._wakeup, CHUNK)
            else:
                self._take_order()
        self._reap()
        for name in self._clock.take_due():
            self._do(name)

    def _do(self, name: str) -> None:
        match name:
            case "timeout":
                self._end("timeout", self._order["grace_seconds"])
            case "kill":
                kill_all(os.getpid(), self._child, self._order["marker"])
                self._clock.set("kill", KILL_AGAIN_SECONDS)
            case "look":
                self._look()
            case "tell":
                self._told_at = time.monotonic()
                self._tell({"total": self._spool.total}, urgent=False)
            case _:
                raise Unkillable

    def _end(self, reason: str, grace_seconds: float) -> None:
        """SIGTERM to all of it now, SIGKILL after the grace. The first reason counts, if the command still runs."""
        if self._status is None:
            self._reason = self._reason or reason
        if grace_seconds > 0:
            for number in ENDING_SIGNALS if self._order["terminal"] else (signal.SIGTERM, signal.SIGCONT):
                signal_all(self._members(), number)
        self._clock.set_first("kill", grace_seconds)
        self._clock.set("give up", grace_seconds + GIVE_UP_SECONDS)

    def _members(self) -> list[int]:
        return descendants(os.getpid(), self._child, self._order["marker"])

    def _reap(self) -> None:
        """Collect children that ended, adopted ones too; what outlives the command is ended."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._child:
                    self._status = ended[1]
        except ChildProcessError:
            self._childless = LINUX or not self._members()
        if self._status is not None and not self._childless and not self._clock.waits("kill"):
            self._end("exited", ORPHAN_GRACE_SECONDS)

    def _look(self) -> None:
        """Compare what the tree uses with its limits; look again after a while that is long beside what this took."""
        began = time.monotonic()
        members = self._members()
        most = self._limits.get("memory_bytes")
        if most is not None and memory(members) > most and exact_memory(members) > most:
            self._end("oom", 0)
        elif len(members) > self._limits.get("processes", math.inf):
            self._end("processes", 0)
        self._clock.set("look", max(LOOK_SECONDS, LOOK_SHARE * (time.monotonic() - began)))

    def _take_output(self) -> None:
        try:
            data = os.read(self._output, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # a terminal whose other side is closed
            data = b""
        if not data:
            self._poll.unregister(self._output)
            os.close(self._output)
            self._output = -1
            return
        self._spool.write(data)
        if not self._clock.waits("tell"):
            since = time.monotonic() - self._told_at
            self._clock.set("tell", max(TELL_AFTER_SECONDS, TELL_EVERY_SECONDS - since))

    def _drain(self) -> None:
        """Take what is left in the pipe; whoever still holds it is none of ours."""
        until = time.monotonic() + DRAIN_SECONDS
        while self._output >= 0 and time.monotonic() < until:
            before = self._spool.total
            self._take_output()
            if self._output >= 0 and self._spool.total == before:
                return

    def _take_order(self) -> None:
        """Obey `{"end": reason, "grace_seconds": …}`; the line's end is an order too."""
        if received := self._line.receive():
            self._end(received[0]["end"], received[0]["grace_seconds"])
        else:
            self._poll.unregister(self._line.fileno())
            self._end("lost", ABANDONED_GRACE_SECONDS)

    def _tell(self, message: dict[str, Any], *, urgent: bool = True) -> None:
        """Send a message, with the far file's descriptor as soon as there is one."""
        far = [] if self._far_told or self._spool.far is None else [self._spool.far]
        if self._line.send(message, far, urgent=urgent) and far:
            self._far_told = True

    def _ending(self, duration_seconds: float) -> dict[str, Any]:
        code = os.waitstatus_to_exitcode(self._status or 0)
        if self._reason:
            reason = self._reason
        elif signal.SIGXFSZ in (-code, code - SHELL_SIGNALLED):
            reason = "fsize"
        else:
            reason = "signal" if code < 0 else "exited"
        ended = {"code": code, "signal": None} if code >= 0 else {"code": None, "signal": signal_name(-code)}
        return ended | {"reason": reason, "duration_seconds": duration_seconds}


def signal_name(number: int) -> str:
    """`SIGTERM` for 15; real-time signals have only their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def wakeup_pipe() -> int:
    """The end of a pipe that becomes readable when a child of this process has ended."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return readable


def serve(line: socket.socket, threads: int) -> bool:
    """Supervise one command after another, all with the limits of the first, until the line ends.

    `threads` is how many the user may run beside, 0 if that is not counted. False if something of a command could not
    be killed.
    """
    become_subreaper()
    wakeup = wakeup_pipe()
    door = Line(line)
    limited = False
    while received := door.receive():
        order, descriptors = received
        if "end" in order:  # it crossed the news that the command has ended
            continue
        if not limited:
            most = order["limits"].get("processes")
            limit_self(order["limits"] | ({"user_processes": most + threads} if most and threads else {}))
            limited = True
        if not Keeper(door, order, dict(zip(order["descriptors"], descriptors, strict=True)), wakeup).run():
            return False
    return True
