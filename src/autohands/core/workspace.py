"""The workspace on this machine's disk: blocking calls beneath a root, run in a few threads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

from autohands.core import names
from autohands.core.changes import Changes
from autohands.core.openat2 import Opener, open_beneath
from autohands.core.tree import Tree, pread_up_to
from autohands.protocols.errors import BadRequest
from autohands.protocols.workspace import Content, Directory, FileStat, Listing, Reader, Written

T = TypeVar("T")

THREADS = 4


class LocalWorkspace:
    """A `Workspace` on disk. `executor` (a few threads, shared by all workspaces) belongs to the caller.

    Opening it reads the root's descriptor, which stays open until `close`: a root that is moved goes on to work, and
    one put in its place is not touched. `allow_hard_links` lets writes replace files that have a second name. `beneath`
    is how paths are opened beneath it, by default the best way that the system has.

    Raises:
        OSError: The root is missing, no directory, or cannot be read.
    """

    def __init__(
        self,
        root: str,
        executor: Executor,
        *,
        allow_hard_links: bool = False,
        beneath: Callable[[int], Opener] = open_beneath,
    ) -> None:
        self._tree = Tree(root, beneath)
        self._changes = Changes(self._tree, allow_hard_links=allow_hard_links)
        self._executor = executor

    def close(self) -> None:
        """Give the root back. Nothing may be running."""
        self._tree.close()

    @property
    def root(self) -> str:
        """The root, as it was named."""
        return self._tree.roots[0]

    def relative(self, path: str) -> str:
        """The path from the root in shown form, by its text alone."""
        return names.show_argument(names.beneath(path, self._tree.roots))

    def shown(self, path: str) -> str:
        """A path in escaped form."""
        return names.show(path)

    @asynccontextmanager
    async def _open(self, path: str) -> AsyncIterator[Reader]:
        fd, found = await self._run(lambda: self._tree.open_file(path), discard=lambda opened: os.close(opened[0]))
        try:
            yield LocalReader(found, partial(self._pread, path, fd))
        finally:
            os.close(fd)

    def open(self, path: str) -> AbstractAsyncContextManager[Reader]:
        """Open a regular file for reading."""
        return self._open(path)

    @asynccontextmanager
    async def _open_directory(self, path: str) -> AsyncIterator[Directory]:
        fd, shown = await self._run(lambda: self._tree.open_directory(path), discard=lambda opened: os.close(opened[0]))
        try:
            yield Directory(fd, shown)
        finally:
            os.close(fd)

    def open_directory(self, path: str) -> AbstractAsyncContextManager[Directory]:
        """Hold a directory open."""
        return self._open_directory(path)

    async def read_bytes(self, path: str, limit: int) -> Content:
        """At most the first `limit` bytes of a regular file."""
        return await self._run(lambda: self._tree.read(path, limit))

    async def write_atomic(
        self,
        path: str,
        data: bytes,
        *,
        mode: int | None = None,
        parents: bool = False,
        expected_sha256: str | None = None,
    ) -> Written:
        """Replace a file or make one, all or nothing."""
        return await self._run(
            lambda: self._changes.write(path, data, mode=mode, parents=parents, expected_sha256=expected_sha256)
        )

    async def list(self, path: str, *, depth: int = 1, limit: int = 1000) -> Listing:
        """What lies beneath a directory."""
        return await self._run(lambda: self._tree.listing(path, depth, limit))

    async def stat(self, path: str) -> FileStat | None:
        """What is there, or None."""
        return await self._run(lambda: self._tree.stat(path))

    async def make_directory(self, path: str, *, parents: bool = False) -> bool:
        """Make a directory; False if it was there."""
        return await self._run(lambda: self._changes.make_directory(path, parents=parents))

    async def move(self, source: str, destination: str, *, overwrite: bool = False) -> None:
        """Rename in one step."""
        await self._run(lambda: self._changes.move(source, destination, overwrite=overwrite))

    async def remove(self, path: str, *, recursive: bool = False) -> int:
        """Delete, but never the root."""
        stop = threading.Event()
        return await self._run(lambda: self._changes.remove(path, stop, recursive=recursive), stop=stop)

    async def _pread(self, path: str, fd: int, size: int, offset: int) -> bytes:
        def call() -> bytes:
            with self._tree.explained(path):
                return pread_up_to(fd, size, offset)

        return await self._run(call)

    async def _run(
        self, call: Callable[[], T], *, discard: Callable[[T], None] | None = None, stop: threading.Event | None = None
    ) -> T:
        """The result of a blocking call. If cancelled, wait until a call that has begun is over: no effect comes late.

        `stop` is set then, and `discard` takes the result that nobody gets any more.
        """
        job = self._executor.submit(call)
        future = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if job.cancel():
                raise
            if stop:
                stop.set()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
            if discard:
                job.add_done_callback(lambda done: None if done.exception() else discard(done.result()))
            raise


class LocalReader:
    """An open file: `pread(size, offset)` reads it off the loop."""

    def __init__(self, stat: FileStat, pread: Callable[[int, int], Awaitable[bytes]]) -> None:
        self.stat = stat
        self._pread = pread
        self._position = 0

    async def read(self, size: int) -> bytes:
        """The next bytes."""
        data = await self.pread(size, self._position)
        self._position += len(data)
        return data

    async def pread(self, size: int, offset: int) -> bytes:
        """The bytes at `offset`."""
        return await self._pread(size, offset)

    async def read_text(self, limit: int = 1 << 20) -> str:
        """The first `limit` bytes as UTF-8."""
        return (await self.pread(limit, 0)).decode(errors="replace")


class Workspaces:
    """The workspaces in use, each opened once; they share a few threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="workspace")
        self._open: dict[str, LocalWorkspace] = {}

    def __enter__(self) -> Workspaces:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown()
        for workspace in self._open.values():
            workspace.close()

    def get(self, root: str) -> LocalWorkspace:
        """The workspace of a root. Raises `BadRequest` where it is no readable directory."""
        if root not in self._open:
            try:
                self._open[root] = LocalWorkspace(root, self._threads)
            except OSError as error:
                raise BadRequest(
                    f"the workspace {root} cannot be used: {error.strerror}", hint="pass --workspace DIR"
                ) from None
        return self._open[root]
