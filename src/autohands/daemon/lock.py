"""One program serves a state directory: the lock it holds, and who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from autohands.protocols.errors import ConfigError, Conflict
from autohands.sdk.identity import now_ms

NAME: Final = "serve.lock"
_TRIES: Final = 5
_PAUSE_SECONDS: Final = 0.02


class Holder(Struct, frozen=True):
    """Who serves: its process, its host, and since when (UTC ms)."""

    pid: int
    host: str
    since: int


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock at `path` as long as the block lasts. The kernel lets go of it when the process dies.

    Raises:
        Conflict: Another process holds it. ConfigError: Nothing can be locked there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, path)
        mine = Holder(os.getpid(), socket.gethostname(), now_ms())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(mine), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if left == 0:
                raise _taken(path) from None
            time.sleep(_PAUSE_SECONDS)  # somebody may only be asking who holds it
        except OSError as error:
            hint = "keep the state directory on a local disk, not on NFS"
            raise ConfigError(f"{path} cannot be locked: {error.strerror}; {hint}", hint=hint) from None


def holder(path: Path) -> Holder | None:
    """Who holds the lock now; None if nobody does, whatever the file says."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(descriptor)
    return None


def _read(path: Path) -> Holder:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return Holder(0, "", 0)


def _taken(path: Path) -> Conflict:
    other = _read(path)
    home = path.parent.parent
    who = f"process {other.pid}" if other.pid else "another process"
    stop = f"stop it with `kill {other.pid}`" if other.pid else "stop that one"
    return Conflict(
        f"{who} serves {home} already", hint=f"{stop}, or serve another state directory with AUTOHANDS_HOME"
    )
