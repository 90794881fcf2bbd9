"""`agent_terminate`: end a sub-agent before its time."""

from __future__ import annotations

from autohands.extensions.tools_agent.described import find
from autohands.sdk import ToolContext, tool


@tool(effect="idempotent")
async def agent_terminate(ctx: ToolContext, child_id: str) -> str:
    """End a sub-agent, with all that it has started. What it has done stays done; what it has not spent comes back.

    Args:
        child_id: What agent_spawn said.
    """
    child = await find(ctx, child_id)
    if child.record.finished:
        return f"{child_id} has ended already: {child.record.state}."
    await ctx.children.cancel(child_id)
    return f"{child_id} is being ended, with all that it has started."
