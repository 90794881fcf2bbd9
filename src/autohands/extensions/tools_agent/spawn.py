"""`agent_spawn`: have a sub-agent do a part of the work."""

from __future__ import annotations

import math
from typing import Any

from msgspec.structs import replace

from autohands.extensions.tools_agent.described import MICRO, outcome_of, usd
from autohands.sdk import Task, ToolContext, ToolError, ToolResult, tool


async def _preview(ctx: ToolContext, **given: Any) -> str:
    """What a person is shown."""
    tools, budget = given["tools"], given["budget"]
    rows = {
        "agent": given["agent_id"] or ctx.scope.agent,
        "model": given["model"] or "the agent's own, or this run's",
        "tools": "all that this run has" if tools is None else ", ".join(tools),
        "budget": "a quarter of what is left" if budget is None else f"{budget:g} USD",
    }
    return "\n".join([*(f"{name}: {value}" for name, value in rows.items()), "", str(given["task"])])


@tool(effect="idempotent", preview=_preview)
async def agent_spawn(  # noqa: PLR0913  the parameters that the model sees
    ctx: ToolContext,
    task: str,
    *,
    agent_id: str | None = None,
    tools: list[str] | None = None,
    model: str | None = None,
    budget: float | None = None,
    wait: bool = True,
) -> ToolResult:
    """Have a sub-agent do a part of the work, in a conversation of its own: it knows only what `task` says.

    Several of these calls in one reply run side by side. With `wait` the result is the sub-agent's answer; without it
    you get its `child_id` at once, and its answer by agent_status: ask for it before you end.

    Args:
        task: What to do, with everything it has to know, and what to answer.
        agent_id: Which agent does it; without it one like you.
        tools: The tools it may use, as names and globs; never more than you have. Without it all of yours.
        model: Its model, as provider/model; without it the agent's own, or yours.
        budget: What it may spend at the most, in USD; put aside from what you have left, and what it does not spend
            comes back. Without it a quarter of what you have left.
        wait: Whether to wait for its answer.
    """
    given = Task(prompt=task, agent=agent_id or "", model=model, source="agent", consent="workspace")
    allowed = None if tools is None else tuple(tools)
    child = await ctx.submit(replace(given, tools=allowed, budget_micro_usd=_micro_usd(budget)))
    if wait:
        return outcome_of(child.id, await ctx.wait(f"child:{child.id}"))
    facts = {"child_id": child.id, "agent_id": child.task.agent, "budget_usd": usd(child.task.budget_micro_usd)}
    return ToolResult(f"{child.id} has been started; agent_status has its answer when it has ended.", facts)


def _micro_usd(budget: float | None) -> int | None:
    if budget is None:
        return None
    if not math.isfinite(budget) or budget < 0:
        raise ToolError(f"invalid_budget: {budget} is no amount of US dollars")
    return round(budget * MICRO)
