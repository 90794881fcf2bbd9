"""What the shell tools see of a run: a workspace on disk, real processes, rows in memory, the session's data."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from autohands.sandbox.jobs import JobTable
from autohands.sandbox.spawn import Spawner
from autohands.sdk import ToolContext
from core.disk import opened
from sandbox.rows import RowsInMemory


class Context:
    """The part of a `ToolContext` that these tools use."""

    def __init__(self, workspace: object, spawn: Spawner, table: JobTable) -> None:
        self.workspace = workspace
        self.spawn = spawn
        self.jobs = table.of("one")
        self.data: dict[str, Any] = {}
        self.shown: list[str] = []

    def progress(self, text: str) -> None:
        self.shown.append(text)


@pytest.fixture
def rows() -> RowsInMemory:
    return RowsInMemory()


@pytest.fixture
async def ctx(workspace: Path, tmp_path: Path, rows: RowsInMemory) -> AsyncIterator[ToolContext]:
    async with opened(workspace) as files, Spawner(tmp_path) as spawn, JobTable(spawn, rows) as table:
        yield cast("ToolContext", Context(files, spawn, table))
