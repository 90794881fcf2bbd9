"""`agent_status` and `agent_list`: how far sub-agents are, and what they answered."""

from __future__ import annotations

from autohands.extensions.tools_agent.described import answer, facts, find, line, outcome_of
from autohands.sdk import ToolContext, ToolResult, tool


@tool(effect="read")
async def agent_status(ctx: ToolContext, child_id: str, *, wait: bool = False) -> ToolResult:
    """How far a sub-agent is; its answer, if it has ended.

    Args:
        child_id: What agent_spawn said.
        wait: Whether to wait for its end.
    """
    child = await find(ctx, child_id)
    if child.record.finished:
        return answer(child.record)
    if wait:
        return outcome_of(child_id, await ctx.wait(f"child:{child_id}"))
    return ToolResult(line(child), facts(child))


@tool(effect="read")
async def agent_list(ctx: ToolContext) -> ToolResult:
    """All sub-agents that this run has started: their state, and what they have spent."""
    children = await ctx.children.list()
    text = "\n".join(map(line, children)) or "This run has started no sub-agent."
    return ToolResult(text, {"children": [facts(child) for child in children]})
