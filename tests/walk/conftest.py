"""What the walks share: an open AutoHands with a scripted model and a few tools that leave traces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import autohands
from autohands.protocols.tool import Tool
from autohands.testing.scripted import Scriptable, Scripted

Open: TypeAlias = Callable[..., AbstractAsyncContextManager[tuple[autohands.Hands, Scripted]]]


@pytest.fixture
def opened(home: Path, workspace: Path) -> Open:
    """Open AutoHands on the test's home, with a model that says `replies`."""

    @asynccontextmanager
    async def _open(
        *replies: Scriptable, tools: tuple[Tool, ...] = (), config: dict[str, Any] | None = None
    ) -> AsyncIterator[tuple[autohands.Hands, Scripted]]:
        model = Scripted(*replies)
        settings = {"model": "scripted/scripted", **(config or {})}
        async with asyncio.timeout(30), autohands.open(home, workspace, settings) as hands:
            hands.kernel.registries.providers.add("test", ("scripted", model))
            hands.kernel.registries.tools.add("test", *((each.schema.name, each) for each in tools))
            yield hands, model

    return _open
