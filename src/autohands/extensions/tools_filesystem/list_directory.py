"""`list_directory`: what lies beneath a directory."""

from __future__ import annotations

from itertools import chain

from autohands.protocols.workspace import Entry
from autohands.sdk import ToolContext, ToolError, ToolResult, tool

MOST_ENTRIES = 1000
DEEPEST = 32


@tool(effect="read")
async def list_directory(ctx: ToolContext, path: str = ".", depth: int = 1) -> ToolResult:
    """List a directory of the workspace, directories with a slash, files with their size in bytes.

    Args:
        path: Directory to list, relative to the workspace.
        depth: How many levels to show.
    """
    if not 1 <= depth <= DEEPEST:
        raise ToolError(f"invalid_arguments: depth must be from 1 to {DEEPEST}")
    listing = await ctx.workspace.list(path, depth=depth, limit=MOST_ENTRIES)
    workspace = ctx.workspace
    entries = sorted(listing.entries, key=lambda entry: entry.path.split("/"))
    notes = [f"[cannot be read: {workspace.shown(directory)}]" for directory in listing.unreadable]
    if listing.truncated:
        notes.append(f"[more than the {len(entries):,} entries shown; list a directory further down]")
    if not entries and not notes:
        notes.append("[the directory is empty]")
    data = {
        "path": workspace.relative(path),
        "entries": [described(ctx, entry) for entry in entries],
        "truncated": listing.truncated,
        "unreadable": [workspace.shown(directory) for directory in listing.unreadable],
    }
    return ToolResult("\n".join(chain((line(ctx, entry) for entry in entries), notes)), data)


def line(ctx: ToolContext, entry: Entry) -> str:
    """One entry as the model reads it."""
    shown = ctx.workspace.shown(entry.path)
    match entry.stat.kind:
        case "directory":
            return f"{shown}/"
        case "file":
            return f"{shown}  {entry.stat.size:,}"
        case "symlink":
            return f"{shown} -> {ctx.workspace.shown(entry.target)}"
        case "other":
            return f"{shown}  (device, FIFO or socket)"


def described(ctx: ToolContext, entry: Entry) -> dict[str, object]:
    """One entry as data."""
    fields: dict[str, object] = {"path": ctx.workspace.shown(entry.path), "kind": entry.stat.kind}
    if entry.stat.kind == "file":
        fields["size"] = entry.stat.size
    if entry.target:
        fields["target"] = ctx.workspace.shown(entry.target)
    return fields
