"""What every guard must do: subclass `GuardContract` in a test module and give it `guard`, `tool`, `call` and `ctx`."""

from __future__ import annotations

import asyncio
import copy

import pytest

from autohands.protocols.context import ToolContext
from autohands.protocols.guard import Allow, Ask, Deny, Guard
from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import Tool

ANSWER_SECONDS = 10.0


class GuardContract:
    """Fixtures: `guard`, and a `tool`, a `call` of it and a `ctx` to judge."""

    @pytest.mark.asyncio
    async def test_it_answers_in_time_with_a_reason_and_changes_nothing(
        self, guard: Guard, tool: Tool, call: ToolCall, ctx: ToolContext
    ) -> None:
        before = copy.deepcopy(call)
        async with asyncio.timeout(ANSWER_SECONDS):
            verdict = await guard(tool, call, ctx)
        assert isinstance(verdict, Allow | Ask | Deny)
        assert isinstance(verdict, Allow) or verdict.reason.strip()
        assert call == before

    @pytest.mark.asyncio
    async def test_arguments_that_nobody_expects_make_it_no_milder(
        self, guard: Guard, tool: Tool, call: ToolCall, ctx: ToolContext
    ) -> None:
        plain = await guard(tool, call, ctx)
        odd = await guard(tool, ToolCall(call.id, call.name, {**call.arguments, "no_such_argument": [None, {}]}), ctx)
        assert _strictness(odd) >= _strictness(plain)


def _strictness(verdict: Allow | Ask | Deny) -> int:
    return (Allow, Ask, Deny).index(type(verdict))
