"""Which folders of code the owner has agreed to: `autohands.lock`, and the digest of a tree that it records."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct, field

from autohands.protocols.errors import ConfigError

LOCK_NAME = "autohands.lock"
_MOST_FILES = 5_000
_MOST_BYTES = 50 << 20


class Trusted(Struct, frozen=True, forbid_unknown_fields=True):
    """A folder as it was when its owner enabled it."""

    path: str
    version: str
    digest: str


class Lock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The owner's decisions on extensions: folders that may run, extensions that must not."""

    v: int = 1
    trusted: dict[str, Trusted] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()


class Tree(Struct, frozen=True):
    """A folder's content: the digest of all of it, and the Python files among it, by relative path."""

    digest: str
    sources: dict[str, bytes]


def read_lock(home: Path) -> Lock:
    """The decisions recorded in `home`; none where nothing was recorded.

    Raises:
        ConfigError: The file is damaged: what it says cannot be guessed.
    """
    path = home / LOCK_NAME
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
    except FileNotFoundError:
        return Lock()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: {error}", hint="restore it, or delete it and enable your extensions again"
        ) from error
    if lock.v != 1:
        raise ConfigError(f"{path}: version {lock.v} is newer than this program", hint="upgrade AutoHands")
    return lock


def write_lock(home: Path, lock: Lock) -> None:
    """Record decisions: the old file or the new one survives a crash, never a mixture."""
    path = home / LOCK_NAME
    fresh = path.with_name(f"{LOCK_NAME}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read_tree(root: Path) -> Tree:
    """Read a folder whole. The digest covers paths and contents; what is loaded later are the bytes read here.

    Raises:
        ConfigError: A symlink out of the tree, a device, a file that others may write or own, too much of it.
    """
    digest = hashlib.sha256()
    sources: dict[str, bytes] = {}
    left = _MOST_BYTES
    for count, path in enumerate(_walk(root, root), start=1):
        if count > _MOST_FILES:
            raise ConfigError(f"{root} holds more than {_MOST_FILES:,} files")
        relative = path.relative_to(root).as_posix()
        kind, content = _read(path, root, left)
        left -= len(content)
        digest.update(os.fsencode(f"{kind} {relative}\0") + hashlib.sha256(content).digest())
        if kind == "file" and relative.endswith(".py"):
            sources[relative] = content
    return Tree(f"sha256:{digest.hexdigest()}", sources)


def _walk(directory: Path, root: Path) -> Iterator[Path]:
    """Every file and symlink beneath a directory, in the order of their paths, entering no symlink."""
    _refuse_foreign(directory, directory.lstat(), root)
    for path in sorted(directory.iterdir(), key=os.fsencode):
        if stat.S_ISDIR(path.lstat().st_mode):
            yield from _walk(path, root)
        else:
            yield path


def _read(path: Path, root: Path, most: int) -> tuple[str, bytes]:
    if path.is_symlink():
        if not path.resolve().is_relative_to(root.resolve()):
            raise ConfigError(f"{path} is a symlink out of {root}")
        return "link", os.fsencode(path.readlink())
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path} is neither a file nor a directory")
        _refuse_foreign(path, found, root)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise ConfigError(f"{root} holds more than {_MOST_BYTES >> 20} MiB")
    return "file", content


def _refuse_foreign(path: Path, found: os.stat_result, root: Path) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{path} belongs to another user (uid {found.st_uid})", hint=f"chown -R {root}")
    if found.st_mode & stat.S_IWOTH:
        raise ConfigError(f"{path} may be written by everybody", hint=f"chmod -R o-w {root}")
