"""`create_directory`."""

from __future__ import annotations

from autohands.sdk import ToolContext, ToolResult, tool


async def preview_create(ctx: ToolContext, path: str, *, parents: bool = True) -> str:
    """What is made."""
    return f"make the directory {ctx.workspace.relative(path)}" + (" and those above it" if parents else "")


async def reconcile_create(ctx: ToolContext, key: str, path: str, *, parents: bool = True) -> ToolResult | None:
    """Done if it is there; else the call may be made again."""
    stat = await ctx.workspace.stat(path)
    return result(ctx, path, created=True) if stat and stat.kind == "directory" else None


# Idempotent: a directory that is there is what was asked for.
@tool(effect="idempotent", preview=preview_create, reconcile=reconcile_create)
async def create_directory(ctx: ToolContext, path: str, *, parents: bool = True) -> ToolResult:
    """Make a directory in the workspace; one that is there already is left as it is.

    Args:
        path: Directory to make, relative to the workspace.
        parents: Make missing directories above it too.
    """
    return result(ctx, path, created=await ctx.workspace.make_directory(path, parents=parents))


def result(ctx: ToolContext, path: str, *, created: bool) -> ToolResult:
    """What the model is told."""
    shown = ctx.workspace.relative(path)
    return ToolResult(f"Made {shown}/." if created else f"{shown}/ was there.", {"path": shown, "created": created})
