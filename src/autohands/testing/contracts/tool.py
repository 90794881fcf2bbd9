"""What every tool must do: subclass `ToolContract` in a test module and give it `tool`, `arguments` and `ctx`."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, get_args

import pytest

from autohands.protocols.context import ToolContext
from autohands.protocols.errors import ToolError
from autohands.protocols.tool import Effect, Tool, ToolResult


class ToolContract:
    """Fixtures: `tool`, `arguments` (of a call that works, given twice), `ctx` (a `ToolContext` for it)."""

    def test_its_schema_can_be_shown_to_every_model(self, tool: Tool) -> None:
        schema = tool.schema
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}", schema.name)
        assert 0 < len(schema.description) <= 20_000
        assert schema.parameters["type"] == "object"
        assert schema.parameters.get("additionalProperties") is False
        assert "$ref" not in json.dumps(schema.parameters)

    def test_its_schema_is_json_schema(self, tool: Tool) -> None:
        validator = pytest.importorskip("jsonschema").Draft202012Validator
        validator.check_schema(tool.schema.parameters)

    def test_it_is_byte_stable(self, tool: Tool) -> None:
        assert json.dumps(tool.schema.parameters) == json.dumps(tool.schema.parameters)
        assert tool.schema == tool.schema
        assert tool.version

    def test_its_time_is_bounded(self, tool: Tool) -> None:
        assert 0 < tool.timeout_seconds < float("inf")

    def test_the_arguments_fit_the_schema_and_stay_valid(self, tool: Tool, arguments: dict[str, Any]) -> None:
        pytest.importorskip("jsonschema").validate(arguments, tool.schema.parameters)
        once = tool.validate(dict(arguments))
        assert tool.validate(dict(once)) == once

    def test_its_effect_is_one_of_four(self, tool: Tool, arguments: dict[str, Any]) -> None:
        assert tool.effect(tool.validate(arguments)) in get_args(Effect)

    def test_an_unknown_argument_is_named(self, tool: Tool, arguments: dict[str, Any]) -> None:
        with pytest.raises(ToolError, match="no_such_argument"):
            tool.validate({**arguments, "no_such_argument": 1})

    def test_every_missing_argument_is_named(self, tool: Tool) -> None:
        required = tool.schema.parameters.get("required", [])
        if not required:
            tool.validate({})
            return
        with pytest.raises(ToolError) as caught:
            tool.validate({})
        assert all(name in caught.value.text for name in required)

    @pytest.mark.asyncio
    async def test_it_answers_with_text_and_can_be_previewed(
        self, tool: Tool, arguments: dict[str, Any], ctx: ToolContext
    ) -> None:
        valid = tool.validate(arguments)
        async with asyncio.timeout(min(tool.timeout_seconds, 30)):
            assert isinstance(await tool.preview(ctx, valid), str)
            result = await tool.run(ctx, valid)
        assert isinstance(result, ToolResult)
        assert isinstance(result.text, str)
        assert not result.failed
        json.dumps(result.data)
