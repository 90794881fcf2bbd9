"""How a supervisor starts a program: in its directory, wired, at the head of a session of its own; and its limits.

Standard library only: supervisors load nothing else.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TypeAlias

from .line import Order

Descriptors: TypeAlias = dict[str, int]
FileAction: TypeAlias = tuple[int, int, int] | tuple[int, int, str, int, int]

DEFAULT_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ", "SIGHUP", "SIGINT", "SIGTERM", "SIGCHLD")
)
RESOURCES = {
    "file_bytes": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "user_processes": resource.RLIMIT_NPROC,
}
PR_SET_CHILD_SUBREAPER = 36
OOM_SCORE = "500"
LEAST_FILE_BYTES = 1 << 20


class NotLaunched(Exception):
    """The program does not run: `errno`, and whether `directory`, `program` or `process` is at fault."""

    def __init__(self, number: int | None, about: str) -> None:
        super().__init__(number, about)
        self.errno = number or errno.EIO
        self.about = about


def launch(order: Order, descriptors: Descriptors) -> int:
    """Start the program of `order` and return its pid.

    Raises:
        NotLaunched: It cannot be started; says why.
    """
    try:
        if "directory" in descriptors:
            os.fchdir(descriptors["directory"])
        else:
            os.chdir(order["directory"])
    except OSError as error:
        raise NotLaunched(error.errno, "directory") from error
    try:
        return os.posix_spawn(
            order["program"],
            order["argv"],
            order["env"],
            file_actions=wiring(order["terminal"], descriptors),
            setsid=True,
            setsigmask=(),
            setsigdef=DEFAULT_SIGNALS,
        )
    except OSError as error:
        about = "process" if error.errno in (errno.EAGAIN, errno.ENOMEM) else "program"
        raise NotLaunched(error.errno, about) from error
    finally:
        os.chdir("/")


def wiring(terminal: str, descriptors: Descriptors) -> list[FileAction]:
    """What becomes standard input, output and error. A session's head that opens a terminal is controlled by it."""
    wired: list[FileAction] = []
    if terminal:
        wired.append((os.POSIX_SPAWN_OPEN, 1, terminal, os.O_RDWR, 0))
    else:
        wired.append((os.POSIX_SPAWN_DUP2, descriptors["output"], 1))
    wired.append((os.POSIX_SPAWN_DUP2, 1, 2))
    if "input" in descriptors:
        wired.append((os.POSIX_SPAWN_DUP2, descriptors["input"], 0))
    elif terminal:
        wired.append((os.POSIX_SPAWN_DUP2, 1, 0))
    else:
        wired.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
    return wired


def limit_self(limits: dict[str, int]) -> None:
    """Take on limits for good, soft and hard alike: what this process starts inherits them and cannot raise them.

    A file may always have `LEAST_FILE_BYTES`, which a supervisor needs itself.
    """
    for name, kind in RESOURCES.items():
        if name in limits:
            hard = resource.getrlimit(kind)[1]
            most = max(limits[name], LEAST_FILE_BYTES) if kind == resource.RLIMIT_FSIZE else limits[name]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))


def become_subreaper() -> None:
    """Have orphans beneath this process given to it (prctl(2), Linux only)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def prepare_for_children() -> None:
    """What holds for all commands alike: no core files, and they go first where the machine runs out of memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
