"""`@tool`: what a signature and a docstring become, and how wrong arguments are answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from autohands.protocols.errors import ToolError
from autohands.sdk import ToolContext, ToolResult, tool
from autohands.sdk.tool import FunctionTool

NOTHING: Any = None


class Edit(msgspec.Struct):
    """One replacement."""

    old: str
    new: str = ""


@tool(effect="read")
async def sample(
    ctx: ToolContext,
    path: str,
    limit: Annotated[int, msgspec.Meta(ge=1)] = 10,
    mode: Literal["fast", "slow"] = "fast",
    edits: list[Edit] | None = None,
    ratio: float = 0.5,
    deep: bool = False,
) -> str:
    """Do a sample thing.

    It has a second paragraph.

    Args:
        path: Where it is,
            over two lines.
        limit: How many.

    Returns:
        Nothing of interest.
    """
    return f"{path} {limit} {mode} {edits} {ratio} {deep}"


def test_the_schema_comes_from_signature_and_docstring() -> None:
    schema = sample.schema
    assert (schema.name, schema.description) == ("sample", "Do a sample thing.\n\nIt has a second paragraph.")
    properties = schema.parameters["properties"]
    assert schema.parameters["required"] == ["path"]
    assert schema.parameters["additionalProperties"] is False
    assert properties["path"] == {"type": "string", "description": "Where it is, over two lines."}
    assert properties["limit"] == {"type": "integer", "minimum": 1, "default": 10, "description": "How many."}
    assert properties["mode"]["enum"] == ["fast", "slow"]
    assert "$ref" not in str(schema.parameters)
    assert "ctx" not in properties


def test_arguments_are_converted_leniently_and_completed() -> None:
    arguments = sample.validate({"path": "a", "limit": "5", "deep": "true", "edits": [{"old": "x"}]})
    assert arguments == {
        "path": "a",
        "limit": 5,
        "mode": "fast",
        "edits": [Edit("x")],
        "ratio": 0.5,
        "deep": True,
    }


def test_every_wrong_argument_is_named_at_once() -> None:
    with pytest.raises(ToolError) as caught:
        sample.validate({"pth": "a", "limit": 0, "mode": "medium", "edits": [{"old": 1}]})
    text = caught.value.text
    assert text.startswith("invalid_arguments: ")
    for part in (
        "unknown argument `pth`, did you mean `path`?",
        "missing argument `path`",
        "`limit`",
        "`mode`: Invalid enum value 'medium', expected one of fast, slow",
        "edits[0].old",
    ):
        assert part in text


@pytest.mark.parametrize("value", [None, 3, ["a"], {"a": 1}])
def test_text_is_not_made_of_other_things(value: object) -> None:
    with pytest.raises(ToolError, match="path"):
        sample.validate({"path": value})


async def test_a_tool_runs_with_and_without_a_context() -> None:
    @tool
    async def plain(number: int) -> dict[str, int]:
        """Count."""
        return {"number": number}

    assert await plain.run(NOTHING, plain.validate({"number": 1})) == ToolResult('{"number":1}', {"number": 1})
    assert (await sample.run(NOTHING, sample.validate({"path": "a"}))).text == "a 10 fast None 0.5 False"
    assert await plain(2) == {"number": 2}


def test_what_is_not_said_counts_as_irreversible_and_may_depend_on_the_call() -> None:
    @tool
    async def quiet() -> str:
        """Say nothing."""
        return ""

    @tool(
        effect="irreversible",
        effect_of=lambda arguments: "read" if arguments.get("action") == "list" else "irreversible",
    )
    async def jobs(action: str) -> str:
        """Do."""
        return action

    assert quiet.effect({}) == "irreversible"
    assert (jobs.effect({"action": "list"}), jobs.effect({"action": "kill"})) == ("read", "irreversible")


def test_a_parameter_that_json_cannot_carry_is_an_error_where_it_is_written() -> None:
    with pytest.raises(TypeError, match=r"broken, parameter `what`.*not one of str, int"):

        @tool
        async def broken(what: set[str]) -> str:
            """Break."""
            return ""

    with pytest.raises(TypeError, match=r"'raed' is none of read, idempotent"):
        FunctionTool(quiet, {"effect": "raed"})  # type: ignore[typeddict-item]

    with pytest.raises(TypeError, match="named and typed"):

        @tool
        async def untyped(what) -> str:  # type: ignore[no-untyped-def]
            """Break."""
            return ""

    with pytest.raises(TypeError, match="async function"):

        @tool  # type: ignore[arg-type]
        def plain(what: str) -> str:
            """Break."""
            return ""


def test_a_type_that_contains_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="contains itself"):

        @tool
        async def deep(tree: Tree) -> str:
            """Break."""
            return ""


async def quiet() -> str:
    """Say nothing."""
    return ""


class Tree(msgspec.Struct):
    """A tree."""

    children: list[Tree] = []
