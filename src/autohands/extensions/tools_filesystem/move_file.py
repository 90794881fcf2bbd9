"""`move_file`: a file, a symlink or a directory gets another name."""

from __future__ import annotations

from autohands.sdk import ToolContext, ToolResult, tool

from .seen import Seen


async def preview_move(ctx: ToolContext, source: str, destination: str, *, overwrite: bool = False) -> str:
    """What goes where, and what it replaces."""
    old, new = ctx.workspace.relative(source), ctx.workspace.relative(destination)
    there = await ctx.workspace.stat(destination)
    over = f", replacing {there.size:,} bytes" if there and overwrite else ""
    return f"move {old} to {new}{over}"


async def reconcile_move(
    ctx: ToolContext, key: str, source: str, destination: str, *, overwrite: bool = False
) -> ToolResult | None:
    """A rename is one step: done if the source is gone and the destination there, not done if the source is there."""
    before, after = await ctx.workspace.stat(source), await ctx.workspace.stat(destination)
    if before is not None:
        return ToolResult("interrupted: nothing was moved; make the call again", failed=True)
    return result(ctx, source, destination) if after else None


# Compensable: moving back undoes it, but made twice it might move another file.
@tool(effect="compensable", preview=preview_move, reconcile=reconcile_move)
async def move_file(ctx: ToolContext, source: str, destination: str, *, overwrite: bool = False) -> ToolResult:
    """Move or rename a file or a directory within the workspace.

    Args:
        source: What to move, relative to the workspace.
        destination: Its new path, the name included; the directory above must exist.
        overwrite: Replace what is at the destination.
    """
    await ctx.workspace.move(source, destination, overwrite=overwrite)
    Seen(ctx).move(source, destination)
    return result(ctx, source, destination)


def result(ctx: ToolContext, source: str, destination: str) -> ToolResult:
    """What the model is told."""
    old, new = ctx.workspace.relative(source), ctx.workspace.relative(destination)
    return ToolResult(f"Moved {old} to {new}.", {"source": old, "destination": new})
