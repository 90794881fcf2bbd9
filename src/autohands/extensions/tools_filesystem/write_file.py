"""`write_file`: a file's whole content."""

from __future__ import annotations

import hashlib

from autohands.protocols.workspace import FileStat
from autohands.sdk import ToolContext, ToolError, ToolResult, tool

from .diff import unified_diff
from .seen import WHOLE, Seen
from .text import encoding_of, showable


def encoded(content: str) -> bytes:
    """The bytes to write. Raises `ToolError` for text that no file can hold."""
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        raise ToolError(f"invalid_arguments: content has half a character at position {error.start}") from error


async def preview_write(ctx: ToolContext, path: str, content: str) -> str:
    """What changes: a diff to the present file."""
    shown = ctx.workspace.relative(path)
    stat = await ctx.workspace.stat(path)
    if stat is None:
        return unified_diff("", content, shown) or f"make an empty file {shown}"
    present = await ctx.workspace.read_bytes(path, WHOLE)
    encoding = encoding_of(present.data)
    if encoding is None or present.sha256 is None:
        return f"replace {stat.size:,} bytes of {shown} by:\n{unified_diff('', content, shown)}"
    before = showable(encoding.decode(present.data))
    return unified_diff(before, content, shown) or f"leave {shown} as it is"


async def reconcile_write(ctx: ToolContext, key: str, path: str, content: str) -> ToolResult | None:
    """Done if the file holds the content; else nobody can tell whether it ever did."""
    data = encoded(content)
    stat = await ctx.workspace.stat(path)
    if stat is None or stat.kind != "file" or stat.size != len(data):
        return None
    present = await ctx.workspace.read_bytes(path, len(data))
    if present.sha256 != hashlib.sha256(data).hexdigest():
        return None
    Seen(ctx).put(path, present.sha256)
    return _result(ctx, path, len(data), present.sha256, None)


# Idempotent: writing the same content once more changes nothing. The write itself is atomic, so a crash leaves the old
# content or the new; in both cases the call may simply be made again.
@tool(effect="idempotent", preview=preview_write, reconcile=reconcile_write)
async def write_file(ctx: ToolContext, path: str, content: str) -> ToolResult:
    """Write a file of the workspace, a new one or over an old one; missing directories are made.

    To change a part of a file use edit_file.

    Args:
        path: File to write, relative to the workspace.
        content: The whole content of the file.
    """
    data = encoded(content)
    seen = Seen(ctx)
    if seen.get(path) is not None and await ctx.workspace.stat(path) is None:
        seen.put(path, None)
    written = await ctx.workspace.write_atomic(path, data, parents=True, expected_sha256=seen.get(path))
    seen.put(path, written.sha256)
    return _result(ctx, path, len(data), written.sha256, written.replaced)


def _result(ctx: ToolContext, path: str, size: int, sha256: str, replaced: FileStat | None) -> ToolResult:
    shown = ctx.workspace.relative(path)
    data = {"path": shown, "size": size, "sha256": sha256, "replaced_size": replaced.size if replaced else None}
    over = f", over {replaced.size:,} before" if replaced else ""
    return ToolResult(f"Wrote {size:,} bytes to {shown}{over}.", data)
