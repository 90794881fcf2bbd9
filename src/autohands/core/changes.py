"""Changes to files beneath a root: atomic, durable, and never through a symlink. Everything blocks."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autohands.core import names
from autohands.core.tree import READ, Tree, file_stat, join
from autohands.protocols.errors import ToolError
from autohands.protocols.workspace import Written

PIECE = 1 << 20
# What the umask may still take away. Nothing is writable for others unless somebody asks for it, whatever the umask.
FILE_MODE, DIRECTORY_MODE, SECRET_MODE = 0o644, 0o755, 0o600


class Changes:
    """What can be changed in a tree; `allow_hard_links` lets a write replace a file that has a second name."""

    def __init__(self, tree: Tree, *, allow_hard_links: bool = False) -> None:
        self._tree = tree
        self._allow_hard_links = allow_hard_links
        self._nameless = hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir()
        self._replacing = threading.Lock()

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        above, _, name = path.rpartition("/")
        with self._tree.directory(above or ".", follow=False) as fd:
            yield fd, name

    def _below_root(self, path: str) -> str:
        path = self._tree.locate(path)
        if path == ".":
            raise ToolError("protected_root: the workspace's root cannot be deleted, moved or replaced")
        return path

    def write(self, path: str, data: bytes, *, mode: int | None, parents: bool, expected_sha256: str | None) -> Written:
        """Replace a file or make one, with the directories above it if `parents`: all of `data` or nothing."""
        path = self._below_root(path)
        if parents and "/" in path:
            self._make(path.rpartition("/")[0], parents=True)
        with self._tree.explained(path), self._parent(path) as (parent, name):
            before = self._replaceable(parent, name, path)
            temporary = self._stage(parent, data, before, mode)
            try:
                with self._replacing:
                    if expected_sha256 is not None and sha256_of(parent, name) != expected_sha256:
                        raise ToolError(f"conflict: {names.show(path)} has changed meanwhile; read it again")
                    os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                os.unlink(temporary, dir_fd=parent)
                raise
            sync_directory(parent)
        return Written(hashlib.sha256(data).hexdigest(), file_stat(before) if before else None)

    def _replaceable(self, parent: int, name: str, path: str) -> os.stat_result | None:
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        shown = names.show(path)
        if stat.S_ISLNK(found.st_mode):
            target = names.show(os.readlink(name, dir_fd=parent))
            raise ToolError(f"symlink: {shown} points to {target}; writing follows no symlinks, name the file itself")
        if not stat.S_ISREG(found.st_mode):
            word = "is_a_directory" if stat.S_ISDIR(found.st_mode) else "not_a_regular_file"
            raise ToolError(f"{word}: {shown} cannot be replaced by a file")
        if found.st_nlink > 1 and not self._allow_hard_links:
            raise ToolError(
                f"hard_link: {shown} is the same file as {found.st_nlink - 1} other(s), perhaps outside the workspace; "
                "delete it first if it is to become a file of its own"
            )
        return found

    def _stage(self, parent: int, data: bytes, before: os.stat_result | None, mode: int | None) -> str:
        """The name of a new file that holds `data`, synced, beside the one it is to replace."""
        name = f".autohands-{secrets.token_hex(8)}.tmp"
        fd, nameless = self._create(parent, name, FILE_MODE if before is None and mode is None else SECRET_MODE)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view[:PIECE]) :]
            dress(fd, before, mode)
            os.fsync(fd)
            if nameless:
                os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=parent)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=parent)
            raise
        finally:
            os.close(fd)
        return name

    def _create(self, parent: int, name: str, mode: int) -> tuple[int, bool]:
        """A new file; where the file system can, one without a name, of which a crash leaves nothing behind."""
        flags = os.O_WRONLY | os.O_CLOEXEC
        if self._nameless:
            with suppress(OSError):
                return os.open(".", flags | os.O_TMPFILE, mode, dir_fd=parent), True
        return os.open(name, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=parent), False

    def make_directory(self, path: str, *, parents: bool) -> bool:
        """Make a directory, and those above it if `parents`. False if it was there."""
        path = self._tree.locate(path)
        return path != "." and self._make(path, parents=parents)

    def _make(self, path: str, *, parents: bool) -> bool:
        above, _, name = path.rpartition("/")
        steps = [*above.split("/"), name] if above and parents else [name]
        reached = "." if parents else above or "."
        made = False
        with self._tree.explained(path):
            for step in steps:
                reached = join(reached, step)
                with self._parent(reached) as (parent, last):
                    made = make_one(parent, last, reached)
        return made

    def move(self, source: str, destination: str, *, overwrite: bool) -> None:
        """Rename in one step."""
        source, destination = self._below_root(source), self._below_root(destination)
        with self._tree.explained(source), self._parent(source) as (old_parent, old):
            os.stat(old, dir_fd=old_parent, follow_symlinks=False)
            with self._tree.explained(destination), self._parent(destination) as (new_parent, new):
                try:
                    if overwrite:
                        os.rename(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent)
                    else:
                        self._tree.libc.rename_new(old_parent, old, new_parent, new)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    shown = f"{names.show(source)} and {names.show(destination)}"
                    raise ToolError(f"cross_device: {shown} are on two file systems; copy, then delete") from error
                sync_directory(new_parent)
            sync_directory(old_parent)

    def remove(self, path: str, stop: threading.Event, *, recursive: bool) -> int:
        """Delete; a set `stop` ends a recursive deletion early. Returns how many things are gone."""
        path = self._below_root(path)
        with self._tree.explained(path):
            with self._parent(path) as (parent, name):
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if not stat.S_ISDIR(found.st_mode):
                    os.unlink(name, dir_fd=parent)
                elif not recursive:
                    os.rmdir(name, dir_fd=parent)
                else:
                    return self._remove_all(path, os.fstat(parent).st_dev, stop)
                sync_directory(parent)
        return 1

    def _remove_all(self, path: str, device: int, stop: threading.Event) -> int:
        gone = 0
        directories = [path]
        for directory in directories:  # grows while it is read
            with self._tree.directory(directory, follow=False) as fd:
                if os.fstat(fd).st_dev != device:
                    raise ToolError(
                        f"mount_point: {names.show(directory)} is another file system; {gone} files are gone"
                    )
                with os.scandir(fd) as entries:
                    inside = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
                directories += [join(directory, name) for name, is_directory in inside if is_directory]
                for name in (name for name, is_directory in inside if not is_directory):
                    if stop.is_set():
                        return gone
                    os.unlink(name, dir_fd=fd)
                    gone += 1
        for directory in reversed(directories):
            with self._parent(directory) as (parent, name):
                os.rmdir(name, dir_fd=parent)
                gone += 1
        with self._parent(path) as (parent, _):
            sync_directory(parent)
        return gone


def dress(fd: int, before: os.stat_result | None, mode: int | None) -> None:
    """Give a new file the mode asked for, else owner and mode of the file it replaces, as far as the system lets us."""
    if before is not None:
        with suppress(PermissionError):
            os.fchown(fd, before.st_uid, before.st_gid)
        with suppress(PermissionError):
            os.fchmod(fd, before.st_mode & 0o777)
    if mode is not None:
        os.fchmod(fd, mode & 0o777)


def make_one(parent: int, name: str, path: str) -> bool:
    """Make one directory. False if it was there; `exists` if something else is."""
    try:
        os.mkdir(name, DIRECTORY_MODE, dir_fd=parent)
    except FileExistsError:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise ToolError(f"symlink: {names.show(path)} is a symbolic link; name the real directory") from None
        if not stat.S_ISDIR(found.st_mode):
            raise ToolError(f"exists: {names.show(path)} is there and is no directory") from None
        return False
    sync_directory(parent)
    return True


def sha256_of(parent: int, name: str) -> str | None:
    """The hash of a file's present content; None if it is gone."""
    try:
        fd = os.open(name, READ | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        return None
    digest = hashlib.sha256()
    try:
        while piece := os.read(fd, PIECE):
            digest.update(piece)
    finally:
        os.close(fd)
    return digest.hexdigest()


def sync_directory(fd: int) -> None:
    """Make a change of names durable, where the file system knows how."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
