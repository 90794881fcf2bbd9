"""The tool contract: against a function of the sdk, and against a shipped tool on a real workspace."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from autohands.core.context import ExecutionContext
from autohands.core.workspace import LocalWorkspace
from autohands.extensions.tools_filesystem import extension
from autohands.protocols.context import Scope, Services
from autohands.protocols.tool import Tool
from autohands.sdk import ToolContext, tool
from autohands.testing.contracts.tool import ToolContract

CALLS: dict[str, dict[str, Any]] = {
    "read_file": {"path": "a.txt", "limit": 5},
    "write_file": {"path": "b.txt", "content": "x"},
    "list_directory": {"path": "."},
}


@tool(effect="idempotent")
async def shout(ctx: ToolContext, words: list[str], times: int = 1) -> str:
    """Say words loudly.

    Args:
        words: What to say.
        times: How often.
    """
    return " ".join(words * times).upper()


@pytest.fixture
def ctx(workspace: Path) -> Iterator[ExecutionContext]:
    nothing: Any = None
    with ThreadPoolExecutor(1) as threads:
        files = LocalWorkspace(str(workspace), threads)
        services = Services(
            workspace=files,
            spawn=nothing,
            jobs=nothing,
            blobs=nothing,
            secrets=nothing,
            models=nothing,
            submit=nothing,
            wait=nothing,
            children=nothing,
        )
        yield ExecutionContext(Scope(task="task_1", session="ses_1", agent="general"), services)
        files.close()


class TestFunction(ToolContract):
    @pytest.fixture
    def tool(self) -> Tool:
        return shout

    @pytest.fixture
    def arguments(self) -> dict[str, Any]:
        return {"words": ["hey", "you"]}


@pytest.mark.parametrize("name", CALLS)
class TestFiles(ToolContract):
    @pytest.fixture
    def tool(self, name: str) -> Tool:
        return next(tool for tool in extension.tools if tool.schema.name == name)

    @pytest.fixture
    def arguments(self, name: str, workspace: Path) -> dict[str, Any]:
        (workspace / "a.txt").write_text("one\ntwo\n")
        return CALLS[name]
