"""`delete_file`: a file, a symlink, a directory."""

from __future__ import annotations

from autohands.sdk import ToolContext, ToolResult, tool

from .seen import Seen

SHOWN_ENTRIES = 20
COUNTED_ENTRIES = 10_000
DEEPEST = 64


async def preview_delete(ctx: ToolContext, path: str, *, recursive: bool = False) -> str:
    """What would be gone."""
    shown = ctx.workspace.relative(path)
    stat = await ctx.workspace.stat(path)
    if stat is None:
        return f"delete {shown}, which is not there"
    if stat.kind != "directory":
        return (
            f"delete the {'device, FIFO or socket' if stat.kind == 'other' else stat.kind} {shown}, {stat.size:,} bytes"
        )
    if not recursive:
        return f"delete the directory {shown} if it is empty"
    listing = await ctx.workspace.list(path, depth=DEEPEST, limit=COUNTED_ENTRIES)
    count = f"{'more than ' if listing.truncated else ''}{len(listing.entries):,}"
    names = [ctx.workspace.shown(entry.path) for entry in listing.entries[:SHOWN_ENTRIES]]
    more = ["…"] if len(listing.entries) > SHOWN_ENTRIES else []
    return "\n".join([f"delete the directory {shown} with {count} entries:", *names, *more])


async def reconcile_delete(ctx: ToolContext, key: str, path: str, *, recursive: bool = False) -> ToolResult | None:
    """Done if nothing is there; not done if something is, but of a directory a part may be gone."""
    stat = await ctx.workspace.stat(path)
    shown = ctx.workspace.relative(path)
    if stat is None:
        return ToolResult(f"Deleted {shown} before the interruption.", {"path": shown})
    if stat.kind == "directory" and recursive:
        return None
    return ToolResult(f"interrupted: {shown} was not deleted; make the call again", failed=True)


# Compensable: made twice it might delete what somebody has put there since.
@tool(effect="compensable", preview=preview_delete, reconcile=reconcile_delete)
async def delete_file(ctx: ToolContext, path: str, *, recursive: bool = False) -> ToolResult:
    """Delete a file, a symlink (not what it points to) or a directory of the workspace.

    Args:
        path: What to delete, relative to the workspace.
        recursive: Delete a directory with all that is in it; without it only an empty one.
    """
    gone = await ctx.workspace.remove(path, recursive=recursive)
    Seen(ctx).forget(path)
    shown = ctx.workspace.relative(path)
    what = shown if gone == 1 else f"{shown} and all in it, {gone:,} entries"
    return ToolResult(f"Deleted {what}.", {"path": shown, "deleted": gone})
