"""The process that starts commands for a program: it forks one supervisor for each, and sees that none leaves orphans.

It stays small and has one thread, so a fork is cheap and safe, whatever the program itself has become. It ends with the
program: at the end of its socket, however that came about. Standard library only.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from .cgroup import enter_group, leave_group
from .keeper import serve, wakeup_pipe
from .launch import become_subreaper, prepare_for_children
from .line import receive
from .tree import LINUX, children, kill_all, signal_all, threads_of

SWEEP_SECONDS = 0.05
MOST_SWEEPS = 100
LAST_SECONDS = 8.0
COUNT_SECONDS = 10.0
SPARE_PROCESSES = 1_024


class Warden:
    """Opens a supervisor for each message on its door, and kills what a supervisor that was killed leaves."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door
        self._keepers: set[int] = set()
        self._sweeps = 0
        self._threads = 0
        self._counted_at = -COUNT_SECONDS

    def serve(self) -> None:
        """Until the door closes."""
        become_subreaper()
        wakeup = wakeup_pipe()
        while True:
            wait = SWEEP_SECONDS if self._sweeps else None
            ready, _, _ = select.select([self._door.fileno(), wakeup], [], [], wait)
            if wakeup in ready:
                os.read(wakeup, 4096)
            self._reap()
            if self._door.fileno() in ready:
                message, lines = receive(self._door, 1)
                if not message:
                    return
                self._open(lines[0])

    def wait_for_all(self) -> None:
        """Until every supervisor has ended: each sees the end of its own socket."""
        until = time.monotonic() + LAST_SECONDS
        while self._keepers and time.monotonic() < until:
            time.sleep(SWEEP_SECONDS / 5)
            self._reap()

    def _open(self, line: int) -> None:
        threads = self._count_threads()
        try:
            pid = os.fork()
        except OSError:
            pid = -1  # the line closes without a word: too many processes
        if pid == 0:
            self._door.close()
            keep(line, threads)
        os.close(line)
        if pid > 0:
            self._keepers.add(pid)

    def _count_threads(self) -> int:
        """Roughly what the user runs already, since his limit of processes counts it."""
        if os.geteuid() != 0 and time.monotonic() - self._counted_at > COUNT_SECONDS:
            self._threads = threads_of(os.geteuid()) + SPARE_PROCESSES
            self._counted_at = time.monotonic()
        return self._threads

    def _reap(self) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] in self._keepers and ended[1]:
                    self._sweeps = MOST_SWEEPS
                self._keepers.discard(ended[0])
        except ChildProcessError:
            self._sweeps = 0
        if self._sweeps and LINUX:
            self._sweeps -= 1
            self._sweep()

    def _sweep(self) -> None:
        """Kill the children that are no supervisors: orphans of one that was killed."""
        strays = set(children(os.getpid())) - self._keepers
        self._sweeps = self._sweeps if strays else 0
        for stray in strays:
            kill_all(stray)
        signal_all(strays, signal.SIGKILL)


def keep(line: int, threads: int) -> NoReturn:
    """In a fork: be a supervisor. An exit status other than 0 asks the warden to see what was left."""
    status = 1
    try:
        status = 0 if serve(socket.socket(fileno=line), threads) else 1
    finally:
        os._exit(status)


def main() -> None:
    """`warden DESCRIPTOR PROCESSES`: the door, and how many processes all commands together may have."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    prepare_for_children()
    group = enter_group(int(sys.argv[2])) if LINUX else None
    gc.freeze()
    warden = Warden(socket.socket(fileno=int(sys.argv[1])))
    warden.serve()
    warden.wait_for_all()
    if group is not None:
        leave_group(group)
