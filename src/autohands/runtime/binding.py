"""What an approval is bound to besides the call itself: the files it names, the program, the environment."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from autohands.protocols.errors import AutoHandsError
from autohands.protocols.workspace import Workspace
from autohands.runtime.guards.commands import read_line
from autohands.runtime.guards.rules import command_of, paths_named, resolved

if TYPE_CHECKING:
    from autohands.core.context import ExecutionContext
    from autohands.runtime.toolbox import Checked

CHUNK = 1 << 20
MOST_BYTES = 256 << 20
MOST_FILES = 64

Environment = Callable[[], Mapping[str, str]]


async def bound(checked: Checked, ctx: ExecutionContext, environment: Environment) -> bytes:
    """SHA-256 over tool, version, arguments, the content of every file that the call names as a path or as a word of
    its command line, and for a command the program its first word means and the environment it would get."""
    arguments = checked.converted.arguments
    command, cwd = command_of(arguments), arguments.get("cwd")
    named = dict.fromkeys(paths_named(arguments))
    parts: list[object] = [checked.digest]
    if command is not None:
        words = [word for each in read_line(command).commands for word in each]
        base = cwd if isinstance(cwd, str) else "."
        named |= dict.fromkeys(word if word.startswith("/") else f"{base}/{word}" for word in words)
        parts += [sorted(environment().items()), [resolved(word) for word in words[:1]]]
    for path in list(named)[:MOST_FILES]:
        parts.append([path, await _content(path, ctx.workspace)])
    return hashlib.sha256(msgspec.json.encode(parts)).digest()


async def _content(path: str, workspace: Workspace) -> str:
    """The hash of a file's content, `-` where there is no file to be read."""
    try:
        async with workspace.open(path) as file:
            digest, left = hashlib.sha256(), MOST_BYTES
            while left > 0 and (data := await file.read(CHUNK)):
                digest.update(data)
                left -= len(data)
            return digest.hexdigest()
    except AutoHandsError:
        return await asyncio.to_thread(_outside, path) if path.startswith("/") else "-"


def _outside(path: str) -> str:
    """The same for a file that is not the workspace's: a script that lies elsewhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return "-"
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or path.startswith(("/proc/", "/sys/", "/dev/")):
            return "-"
        digest, left = hashlib.sha256(), MOST_BYTES
        while left > 0 and (data := file.read(CHUNK)):
            digest.update(data)
            left -= len(data)
        return f"{Path(path).resolve()} {digest.hexdigest()}"
