"""The toolbox: which tools an agent has, and what is said of a call before it runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autohands.protocols.errors import ToolError
from autohands.protocols.guard import Allow, Ask, Deny, Guard, Verdict
from autohands.protocols.messages import ToolCall
from autohands.runtime.toolbox import Toolbox
from autohands.sdk import tool

NOTHING: Any = None


@tool(effect="read")
async def look(path: str, depth: int = 1) -> str:
    """Look."""
    return path


@tool(effect="compensable")
async def change(path: str) -> str:
    """Change."""
    return path


TOOLS = {"look": look, "change": change}


def says(verdict: Verdict) -> Guard:
    """A guard that always says the same."""

    async def guard(*_: object) -> Verdict:
        return verdict

    return guard


def test_an_agent_has_the_tools_its_patterns_name_in_a_stable_order() -> None:
    assert [schema.name for schema in Toolbox(TOOLS, ("*",), ()).schemas] == ["change", "look"]
    assert [schema.name for schema in Toolbox(TOOLS, ("lo*",), ()).schemas] == ["look"]
    with pytest.raises(ToolError, match="unknown_tool"):
        Toolbox(TOOLS, ("lo*",), ()).find("change")


def test_pr09_the_nearest_names_are_given_whatever_the_case() -> None:
    with pytest.raises(ToolError, match="did you mean look"):
        Toolbox(TOOLS, ("*",), ()).find("LOOKS")


def test_a_digest_is_bound_to_tool_and_arguments() -> None:
    box = Toolbox(TOOLS, ("*",), ())
    digests = {
        box.check(ToolCall("1", "look", {"path": "a"})).digest,
        box.check(ToolCall("2", "look", {"path": "a"})).digest,
        box.check(ToolCall("3", "look", {"path": "b"})).digest,
        box.check(ToolCall("4", "change", {"path": "a"})).digest,
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("answers", "strictest"),
    [
        ((), Allow()),
        ((Allow(), Allow()), Allow()),
        ((Allow(), Ask("a"), Allow()), Ask("a")),
        ((Ask("a", protected=True), Ask("b")), Ask("a", protected=True)),
        ((Ask("b"), Ask("a", protected=True)), Ask("a", protected=True)),
        ((Ask("a"), Deny("d"), Allow()), Deny("d")),
    ],
)
async def test_the_strictest_guard_wins(answers: tuple[Verdict, ...], strictest: Verdict) -> None:
    box = Toolbox(TOOLS, ("*",), [says(answer) for answer in answers])
    assert await box.judge(box.check(ToolCall("1", "look", {"path": "a"})), NOTHING) == strictest


async def test_a_guard_that_gives_no_answer_denies() -> None:
    async def silent(*_: object) -> Verdict:
        await asyncio.Event().wait()
        return Allow()

    box = Toolbox(TOOLS, ("*",), [silent], guard_seconds=0.01)
    verdict = await box.judge(box.check(ToolCall("1", "look", {"path": "a"})), NOTHING)
    assert isinstance(verdict, Deny)
