"""The guard contract: against a function, and against the policy."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autohands.config.schema import PolicyRule
from autohands.core.context import ExecutionContext
from autohands.core.workspace import LocalWorkspace
from autohands.protocols.context import Scope, Services, ToolContext
from autohands.protocols.guard import Guard
from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import Tool
from autohands.runtime.guards.policy import Policy
from autohands.sdk import Allow, Deny, tool
from autohands.testing.contracts.guard import GuardContract


@tool(effect="irreversible")
async def shred(path: str) -> str:
    """Shred a file."""
    return path


async def no_secrets(tool: Tool, call: ToolCall, ctx: ToolContext) -> Allow | Deny:
    """Refuse whatever mentions a secret."""
    return Deny("that is secret") if "secret" in str(call.arguments) else Allow()


class Calls:
    """A call for a guard to judge."""

    @pytest.fixture
    def tool(self) -> Tool:
        return shred

    @pytest.fixture(params=["notes.txt", "secret.txt", ".git/config"])
    def call(self, request: pytest.FixtureRequest) -> ToolCall:
        return ToolCall("c1", "shred", {"path": request.param})

    @pytest.fixture
    def ctx(self, workspace: Path) -> Iterator[ExecutionContext]:
        nothing: Any = None
        others = dict.fromkeys(("spawn", "jobs", "blobs", "secrets", "models", "submit", "wait", "children"), nothing)
        with ThreadPoolExecutor(1) as threads, closing(LocalWorkspace(str(workspace), threads)) as place:
            services = Services(workspace=place, **others)
            yield ExecutionContext(Scope(task="task_1", session="ses_1", agent="general"), services)


class TestFunction(Calls, GuardContract):
    @pytest.fixture
    def guard(self) -> Guard:
        return no_secrets


@pytest.mark.parametrize("then", ["allow", "ask", "deny"])
class TestPolicy(Calls, GuardContract):
    @pytest.fixture
    def guard(self, then: str) -> Guard:
        rule = PolicyRule(tool="shred", path="*.txt", then=then)  # type: ignore[arg-type]
        return Policy((rule,))
