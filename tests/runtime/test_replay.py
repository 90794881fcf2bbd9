"""What a replay's calls are given."""

from __future__ import annotations

import msgspec
import pytest

from autohands.protocols.messages import Message, Reply, ToolCall
from autohands.protocols.records import Step
from autohands.protocols.tool import ToolResult
from autohands.runtime.history import read_turns
from autohands.runtime.replay import Recorded
from autohands.runtime.toolbox import narrowed, within
from autohands.sdk import tool

CALLS = (
    ToolCall("1", "look", {"a": 1, "b": 2}),
    ToolCall("2", "look", {"a": 1, "b": 2}),
    ToolCall("3", "look", {"a": 2}),
    ToolCall("4", "look", {}, "no JSON"),
    ToolCall("5", "look", {"a": 5}),
)


def steps() -> list[Step]:
    """A turn with five calls; the last one has no result."""
    reply = msgspec.json.encode(Reply(Message("assistant", CALLS)))
    results = [
        Step(
            turn=1,
            index=index,
            kind="tool",
            name="look",
            status="done",
            output=msgspec.json.encode(ToolResult(f"result {index}")),
        )
        for index in range(1, 5)
    ]
    return [Step(turn=1, index=0, kind="model", name="m", status="done", output=reply), *results]


def taken(recorded: Recorded, name: str = "look", invalid: str | None = None, **arguments: int) -> str | None:
    """The text of the next result of a call."""
    result = recorded.take(ToolCall("x", name, arguments, invalid))
    return result.text if result else None


def test_results_are_found_by_tool_and_arguments_in_whatever_order_and_given_once() -> None:
    recorded = Recorded(steps())
    assert taken(recorded, b=2, a=1) == "result 1"
    assert taken(recorded, "listen", a=2) is None
    assert taken(recorded, a=2) == "result 3"
    assert [taken(recorded, a=1, b=2) for _ in range(2)] == ["result 2", None]


def test_what_was_no_call_or_has_no_result_is_not_recorded() -> None:
    recorded = Recorded(steps())
    assert taken(recorded) is None
    assert taken(recorded, a=5) is None
    assert taken(recorded, invalid="no JSON") is None


def test_a_replay_that_was_interrupted_goes_on_behind_what_it_was_given() -> None:
    recorded = Recorded(steps())
    own = read_turns([step for step in steps() if step.index in (0, 1)])[1]
    recorded.skip(own)
    assert taken(recorded, a=1, b=2) == "result 2"


@tool(effect="read")
async def look() -> str:
    """Look."""
    return ""


@tool(effect="read")
async def listen() -> str:
    """Listen."""
    return ""


def test_a_task_may_narrow_its_agents_tools() -> None:
    tools = {"look": look, "listen": listen}
    assert narrowed(tools, None) == tools
    assert list(narrowed(tools, ("lo*",))) == ["look"]
    assert narrowed(tools, ()) == {}


@pytest.mark.parametrize(
    ("asked", "wider", "given"),
    [
        (None, None, None),
        (None, ("lo*",), ("lo*",)),
        (("look",), None, ("look",)),
        (("look", "listen"), ("lo*",), ("look",)),
        (("*",), ("lo*",), ()),
        (("l*",), ("lo*",), ()),
        (("loo?",), ("lo*",), ("loo?",)),
        (("*ook",), ("?ook",), ()),
        (("[ab]",), ("*b]",), ()),
        (("?ook",), ("?ook",), ("?ook",)),
        ((), ("*",), ()),
    ],
)
def test_a_childs_tools_are_among_its_parents(
    asked: tuple[str, ...] | None, wider: tuple[str, ...] | None, given: tuple[str, ...] | None
) -> None:
    assert within(asked, wider) == given
