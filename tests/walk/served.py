"""An AutoHands in this process that serves what others submit, by a scripted model; and the command line beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import autohands
from autohands.protocols.tool import Tool
from autohands.testing.scripted import Scriptable, Scripted
from cli.command import Done, run

PATIENCE_SECONDS = 40


@asynccontextmanager
async def served(
    home: Path,
    workspace: Path,
    *replies: Scriptable,
    tools: tuple[Tool, ...] = (),
    config: dict[str, Any] | None = None,
) -> AsyncIterator[tuple[autohands.Hands, Scripted]]:
    """Serve the queues `default` and `background`."""
    model = Scripted(*replies)
    settings = {"model": "scripted/scripted", **(config or {})}
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        autohands.open(home, workspace, settings, shared=True) as hands,
    ):
        hands.kernel.registries.providers.add("test", ("scripted", model))
        hands.kernel.registries.tools.add("test", *((each.schema.name, each) for each in tools))
        yield hands, model


async def command(*arguments: str, directory: Path, status: int = 0) -> Done:
    """Run a command of another program on the same state directory."""
    done = await run(*arguments, directory=directory)
    assert done.status == status, (done.out, done.err)
    return done


async def events(hands: autohands.Hands, task: str, until: str = "run.finished") -> list[dict[str, Any]]:
    """Follow a task up to the first event of a type."""
    seen: list[dict[str, Any]] = []
    async for data in hands.follow(task):
        seen.append(json.loads(data))
        if seen[-1]["type"] == until:
            break
    return seen
