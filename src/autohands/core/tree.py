"""Files beneath one directory descriptor: no path given here leads out of it. Everything blocks."""

from __future__ import annotations

import errno
import hashlib
import heapq
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autohands.core import names
from autohands.core.failures import failure
from autohands.core.openat2 import Libc, Opener, open_beneath
from autohands.protocols.errors import ToolError
from autohands.protocols.workspace import Content, Entry, FileStat, Kind, Listing

READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
LIST_SECONDS = 5.0
NAMES_COMPARED = 5000


class Tree:
    """What can be looked at beneath a root, and how its paths are found; `beneath` is the way in."""

    def __init__(self, root: str, beneath: Callable[[int], Opener] = open_beneath) -> None:
        real = os.path.realpath(root)
        self.roots = (os.path.normpath(Path(root).absolute()), real)
        self.fd = os.open(real, DIRECTORY)
        self.libc = Libc()
        self.opener = beneath(self.fd)

    def close(self) -> None:
        """Give the root's descriptor back."""
        os.close(self.fd)

    def locate(self, path: str) -> str:
        """The path from the root that an argument means, shown forms read back where there is no such name."""
        path = names.beneath(path, self.roots)
        if "\\" not in path:
            return path
        found = "."
        for part in path.split("/"):
            found = join(found, self._true_name(found, part))
        return found

    def _true_name(self, above: str, part: str) -> str:
        meant = names.read_shown(part)
        if meant is None or not self._exists(join(above, meant)):
            return part
        if self._exists(join(above, part)):
            raise ToolError(
                f"ambiguous_name: {part}: there is a file of exactly this name and one that is shown so; "
                f"write {names.show(part)} for the former"
            )
        return meant

    def _exists(self, path: str) -> bool:
        try:
            self._lstat(path)
        except OSError:
            return False
        return True

    @contextmanager
    def explained(self, path: str) -> Iterator[None]:
        """Turn the system's errors into `ToolError`; something missing comes with the nearest names."""
        try:
            yield
        except OSError as error:
            told = failure(error, names.show(path))
            if error.errno == errno.ENOENT:
                told = ToolError(told.text + self._near(path))
            raise told from error

    def _near(self, path: str) -> str:
        above, _, name = path.rpartition("/")
        while above and not self._exists(above):
            above, _, name = above.rpartition("/")
        try:
            with self.directory(above or ".") as fd:
                near = names.nearest(name, [entry for entry, _ in zip(_names(fd), range(NAMES_COMPARED), strict=False)])
        except OSError:
            return ""
        if near:
            return f" (did you mean {' or '.join(names.show(join(above or '.', found)) for found in near)}?)"
        missing = join(above or ".", name)
        return f" ({names.show(missing)} does not exist)" if missing != path else ""

    def open(self, path: str, flags: int, *, follow: bool) -> int:
        """A descriptor of a located path, `follow`ing symlinks that stay inside. Raises OSError or ToolError."""
        fd = self.opener(path, flags, follow)
        try:
            if self.libc.on_kernel_filesystem(fd):
                raise ToolError(
                    f"kernel_filesystem: {names.show(path)}: files of /proc, /sys and their like are refused"
                )
        except BaseException:
            os.close(fd)
            raise
        return fd

    @contextmanager
    def directory(self, path: str, *, follow: bool = True) -> Iterator[int]:
        """A descriptor of a located directory."""
        fd = self.open(path, DIRECTORY, follow=follow)
        try:
            yield fd
        finally:
            os.close(fd)

    def open_directory(self, path: str) -> tuple[int, str]:
        """A descriptor of a directory, for the caller to close, and its path for display."""
        path = self.locate(path)
        with self.explained(path):
            return self.open(path, DIRECTORY, follow=True), str(Path(self.roots[1], path))

    def open_file(self, path: str) -> tuple[int, FileStat]:
        """A descriptor of a regular file, for the caller to close."""
        path = self.locate(path)
        with self.explained(path):
            fd = self.open(path, READ, follow=True)
        try:
            found = file_stat(os.fstat(fd))
            if found.kind != "file":
                kind = "device, FIFO or socket" if found.kind == "other" else found.kind
                raise ToolError(f"not_a_regular_file: {names.show(path)} is a {kind}")
        except BaseException:
            os.close(fd)
            raise
        return fd, found

    def read(self, path: str, limit: int) -> Content:
        """At most the first `limit` bytes of a regular file, with the hash where that is all of it."""
        fd, found = self.open_file(path)
        try:
            with self.explained(path):
                data = read_up_to(fd, limit, found.size)
                whole = len(data) < limit or not os.read(fd, 1)
        finally:
            os.close(fd)
        return Content(data, found, hashlib.sha256(data).hexdigest() if whole else None)

    def stat(self, path: str) -> FileStat | None:
        """What is there, or None."""
        path = self.locate(path)
        with self.explained(path):
            try:
                return file_stat(self._lstat(path))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def _lstat(self, path: str) -> os.stat_result:
        if path == ".":
            return os.fstat(self.fd)
        above, _, name = path.rpartition("/")
        with self.directory(above or ".") as fd:
            return os.stat(name, dir_fd=fd, follow_symlinks=False)

    def listing(self, path: str, depth: int, limit: int) -> Listing:
        """What lies beneath a directory, level by level, until `limit` entries or a few seconds are used up."""
        path = self.locate(path)
        deadline = time.monotonic() + LIST_SECONDS
        entries: list[Entry] = []
        unreadable: list[str] = []
        waiting = [(path, 1)]
        for directory, level in waiting:  # grows while it is read
            room = limit - len(entries)
            if not room or time.monotonic() > deadline:
                return Listing(tuple(entries), True, tuple(unreadable))
            try:
                with self.explained(directory), self.directory(directory) as fd:
                    found, cut = self._children(fd, directory, room, deadline)
            except ToolError:
                if level == 1:
                    raise
                unreadable.append(directory)
                continue
            entries += found
            if cut:
                return Listing(tuple(entries), True, tuple(unreadable))
            if level < depth:
                waiting += [(entry.path, level + 1) for entry in found if entry.stat.kind == "directory"]
        return Listing(tuple(entries), False, tuple(unreadable))

    def _children(self, fd: int, directory: str, room: int, deadline: float) -> tuple[list[Entry], bool]:
        found = heapq.nsmallest(room + 1, _names(fd, deadline))
        entries = (entry(fd, directory, name) for name in found[:room])
        return [found for found in entries if found], len(found) > room or time.monotonic() > deadline


def _names(fd: int, deadline: float | None = None) -> Iterator[str]:
    with os.scandir(fd) as entries:
        for at, found in enumerate(entries):
            if deadline and not at % 1024 and time.monotonic() > deadline:
                return
            yield found.name


def entry(fd: int, directory: str, name: str) -> Entry | None:
    """One line of a listing; None if it has gone meanwhile."""
    try:
        found = file_stat(os.stat(name, dir_fd=fd, follow_symlinks=False))
        target = os.readlink(name, dir_fd=fd) if found.kind == "symlink" else ""
    except OSError:
        return None
    return Entry(join(directory, name), found, target)


def read_up_to(fd: int, limit: int, size: int = 0) -> bytes:
    """At most `limit` bytes, fewer only at the end; `size` is how many are expected."""
    pieces = []
    while limit > 0 and (piece := os.read(fd, min(limit, max(size + 1, 4096)))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def pread_up_to(fd: int, size: int, offset: int) -> bytes:
    """The bytes at `offset`, fewer than `size` only at the end."""
    pieces = []
    while size > 0 and (piece := os.pread(fd, size, offset)):
        pieces.append(piece)
        size -= len(piece)
        offset += len(piece)
    return b"".join(pieces)


def file_stat(found: os.stat_result) -> FileStat:
    """A `FileStat` of what the system says."""
    return FileStat(kind(found.st_mode), found.st_size, stat.S_IMODE(found.st_mode), found.st_mtime_ns, found.st_nlink)


def kind(mode: int) -> Kind:
    """The kind of file that the type bits of a mode name."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def join(above: str, name: str) -> str:
    """The path of a name in a directory; `.` adds nothing."""
    return name if above == "." else f"{above}/{name}"
