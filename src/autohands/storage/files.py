"""Directories and files that belong to their owner alone, whatever the umask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from autohands.protocols.errors import ConfigError


def private_directory(path: Path) -> None:
    """Make `path` (0700) and the parents it lacks, or accept the one that is there.

    Raises:
        ConfigError: It is no directory, belongs to somebody else, or others may write to it.
    """
    if not path.exists():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        return
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{path} is no directory", hint="choose another state directory with AUTOHANDS_HOME")
    if status.st_uid != os.geteuid():
        raise ConfigError(f"{path} belongs to another user", hint="choose another state directory with AUTOHANDS_HOME")
    if status.st_mode & 0o022:
        raise ConfigError(f"{path} can be written by other users", hint=f"chmod 700 {path}")


def private_file(path: Path) -> None:
    """Make `path` an empty file (0600) if it is missing; take others' rights away if it is there.

    One that is there is not opened: closing it would drop the locks that SQLite holds on it in this process.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file (0600) so that it exists whole and synced, or not at all. An existing one is replaced."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Make what was written to a file durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
