"""`agent_message`: say something to a sub-agent that is at work."""

from __future__ import annotations

from autohands.extensions.tools_agent.described import find
from autohands.sdk import ToolContext, ToolError, tool


@tool(effect="idempotent")
async def agent_message(ctx: ToolContext, child_id: str, message: str) -> str:
    """Say something to a sub-agent that has not ended: it reads it before it goes on.

    Args:
        child_id: What agent_spawn said.
        message: What it has to know.
    """
    child = await find(ctx, child_id)
    if child.record.finished:
        raise ToolError(f"has_ended: {child_id} is {child.record.state}; agent_spawn starts another")
    if not message.strip():
        raise ToolError("empty_message: say something")
    await ctx.children.tell(child_id, message, key=ctx.scope.key)
    return f"{child_id} will read it in its next turn."
