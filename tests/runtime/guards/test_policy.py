"""The policy: what is allowed, what asks, what is denied, and what no rule lifts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from autohands.config.schema import PolicyRule
from autohands.protocols.context import Scope, ToolContext
from autohands.protocols.errors import ToolError
from autohands.protocols.guard import Allow, Ask, Deny, Verdict
from autohands.protocols.messages import ToolCall
from autohands.runtime.guards.policy import Policy
from autohands.sdk import tool


class Context:
    """As much of a context as a policy looks at."""

    def __init__(self, source: str = "cli") -> None:
        self.workspace = self
        self.scope = Scope(task="task_1", session="ses_1", agent="general", source=source)

    def relative(self, path: str) -> str:
        """A path from the root."""
        if ".." in path:
            raise ToolError("path_outside_workspace")
        return path.removeprefix("/ws/")


@tool(effect="read")
async def look(path: str) -> str:
    """Look."""
    return path


@tool(effect="compensable")
async def change(path: str) -> str:
    """Change."""
    return path


@tool(effect="irreversible")
async def run(command: str) -> str:
    """Run."""
    return command


async def judge(rules: list[PolicyRule], name: str, source: str = "cli", **arguments: Any) -> Verdict:
    """What a policy of these rules says."""
    called = {"look": look, "change": change, "run": run}[name]
    ctx = cast("ToolContext", Context(source))
    return await Policy(rules)(called, ToolCall("1", name, arguments), ctx)


async def test_reads_are_allowed_and_everything_else_asks() -> None:
    assert await judge([], "look", path="a") == Allow()
    assert await judge([], "change", path="a") == Ask("change changes something; can be undone")
    assert await judge([], "run", command="ls") == Ask("run may change anything; cannot be undone")


@pytest.mark.parametrize(
    "path", [".git/hooks/pre-commit", ".ENV", "sub/.vscode/settings.json", "/ws/conftest.py", "../.git/config"]
)
async def test_fs12_protected_paths_ask_whatever_the_rules_allow(path: str) -> None:
    verdict = await judge([PolicyRule(then="allow", tool="*")], "change", path=path)
    assert isinstance(verdict, Ask)
    assert verdict.protected


async def test_an_ordinary_path_is_not_protected() -> None:
    assert await judge([PolicyRule(then="allow", tool="change")], "change", path="src/main.py") == Allow()


@pytest.mark.parametrize("order", [1, -1])
async def test_ap05_deny_stands_over_ask_over_allow_in_any_order(order: int) -> None:
    rules = [
        PolicyRule(then="allow", tool="run"),
        PolicyRule(then="ask", command="git *"),
        PolicyRule(then="deny", command="git push*"),
    ]
    assert await judge(rules[::order], "run", command="ls") == Allow()
    assert isinstance(await judge(rules[::order], "run", command="git log"), Ask)
    assert isinstance(await judge(rules[::order], "run", command="git push origin"), Deny)


async def test_a_rule_speaks_only_where_all_its_patterns_fit() -> None:
    rule = PolicyRule(then="deny", tool="look", path="secrets/*", source="schedule")
    assert isinstance(await judge([rule], "look", "schedule", path="secrets/key"), Deny)
    assert await judge([rule], "look", "cli", path="secrets/key") == Allow()
    assert await judge([rule], "look", "schedule", path="public/key") == Allow()


async def test_a_read_may_be_made_to_ask() -> None:
    assert isinstance(await judge([PolicyRule(then="ask", effect="read")], "look", path="a"), Ask)
