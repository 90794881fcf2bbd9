"""The files that a run may touch: everything beneath one root, reached by directory descriptor."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

Kind: TypeAlias = Literal["file", "directory", "symlink", "other"]


class FileStat(Struct, frozen=True):
    """What a path is: size in bytes, permission bits, time of the last change of its content, number of hard links."""

    kind: Kind
    size: int
    mode: int
    mtime_ns: int
    nlink: int


class Entry(Struct, frozen=True, omit_defaults=True):
    """One line of a listing: its path from the root, and for a symlink what it points to."""

    path: str
    stat: FileStat
    target: str = ""


class Listing(Struct, frozen=True):
    """What lies beneath a directory, level by level and by name; `unreadable` names directories nobody could enter."""

    entries: tuple[Entry, ...]
    truncated: bool
    unreadable: tuple[str, ...]


class Content(Struct, frozen=True):
    """The first bytes of a file. `sha256` (hex) is None unless `data` is the whole of it."""

    data: bytes
    stat: FileStat
    sha256: str | None


class Written(Struct, frozen=True):
    """What a write left behind: the hash of the new content, and what stood there before."""

    sha256: str
    replaced: FileStat | None


class Directory(Struct, frozen=True):
    """An open directory. `path` is for display, and for a `chdir` where the system has none by descriptor."""

    fd: int
    path: str


class Reader(Protocol):
    """An open regular file."""

    @property
    def stat(self) -> FileStat:
        """What it was when it was opened."""
        ...

    async def read(self, size: int) -> bytes:
        """The next bytes, fewer than `size` only at the end."""
        ...

    async def pread(self, size: int, offset: int) -> bytes:
        """The bytes at `offset`, fewer than `size` only at the end; does not move `read`."""
        ...

    async def read_text(self, limit: int = 1 << 20) -> str:
        """The first `limit` bytes as UTF-8, with what is not UTF-8 replaced."""
        ...


class Workspace(Protocol):
    """Files beneath one root, and nothing else.

    A path is relative to the root, or absolute and beneath it; `..` is refused. Reading follows symlinks that stay
    inside; nothing that changes a file follows any. A name that cannot be shown as it is (control characters, bytes
    that are not UTF-8, invisible or right-to-left characters) is shown with backslash escapes, and the shown form is
    accepted as an argument wherever there is no file of exactly that name.

    Every method raises `ToolError` whose text begins with one of these words and a colon: `path_outside_workspace
    invalid_path not_found not_a_regular_file not_a_directory is_a_directory exists not_empty symlink hard_link
    kernel_filesystem mount_point permission_denied read_only storage_full file_too_large too_many_files cross_device
    busy conflict protected_root ambiguous_name io_error`.
    """

    @property
    def root(self) -> str:
        """The root as people know it. For display only: never open a path that was built from it."""
        ...

    def relative(self, path: str) -> str:
        """An argument as the path from the root, in shown form and without needless parts; `.` is the root itself."""
        ...

    def shown(self, path: str) -> str:
        """A path as the system gave it, in shown form: fit for a terminal, a model and JSON."""
        ...

    def open(self, path: str) -> AbstractAsyncContextManager[Reader]:
        """Open a regular file for reading; directories, FIFOs, sockets and devices are refused without waiting."""
        ...

    async def read_bytes(self, path: str, limit: int) -> Content:
        """At most the first `limit` bytes of a regular file."""
        ...

    async def write_atomic(
        self,
        path: str,
        data: bytes,
        *,
        mode: int | None = None,
        parents: bool = False,
        expected_sha256: str | None = None,
    ) -> Written:
        """Replace a file or make one: after a crash there is the old content or the new, never a mixture.

        An existing file keeps its permission bits unless `mode` is given. A file with more than one hard link is
        refused. `parents` makes missing directories. With `expected_sha256` a file whose content is another by now, or
        gone, is a `conflict`.
        """
        ...

    async def list(self, path: str, *, depth: int = 1, limit: int = 1000) -> Listing:
        """What lies beneath a directory, `depth` levels down, without entering symlinks."""
        ...

    async def stat(self, path: str) -> FileStat | None:
        """What is there, symlinks not followed at the end; None where there is nothing."""
        ...

    async def make_directory(self, path: str, *, parents: bool = False) -> bool:
        """Make a directory, with those above it if `parents`. False if it was there already."""
        ...

    async def move(self, source: str, destination: str, *, overwrite: bool = False) -> None:
        """Rename a file, a symlink or a directory, in one step. An existing destination stands unless `overwrite`."""
        ...

    async def remove(self, path: str, *, recursive: bool = False) -> int:
        """Delete a file, a symlink, an empty directory, or with `recursive` a whole one. How many things are gone.

        The root is never deleted, under whatever name.
        """
        ...

    def open_directory(self, path: str) -> AbstractAsyncContextManager[Directory]:
        """Hold a directory open, as a place to start a process in."""
        ...
