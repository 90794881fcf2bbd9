"""`read_file`: text by lines, images as images, anything else by its type and first bytes."""

from __future__ import annotations

from typing import Any

from autohands.protocols.workspace import Content, FileStat
from autohands.sdk import ToolContext, ToolError, ToolResult, tool

from .seen import WHOLE, Seen
from .text import Encoding, encoding_of, media_type
from .window import Window, read_window, window_of

HEX_HEAD = 64
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


@tool(effect="read")
async def read_file(ctx: ToolContext, path: str, offset: int = 1, limit: int = 2000) -> ToolResult:
    """Read a file of the workspace: text by lines, as it is and without line numbers; images are shown.

    A note in brackets at the end says where to go on if there is more. Of a binary file you get type and first bytes.

    Args:
        path: File to read, relative to the workspace.
        offset: First line to return, counting from 1; below zero counts from the end, -50 is the last 50 lines.
        limit: How many lines to return at most.
    """
    if limit < 1:
        raise ToolError("invalid_arguments: limit must be at least 1")
    try:
        content = await ctx.workspace.read_bytes(path, WHOLE)
    except ToolError:
        Seen(ctx).put(path, None)
        raise
    Seen(ctx).put(path, content.sha256)
    facts = {"path": ctx.workspace.relative(path), "size": content.stat.size, "sha256": content.sha256}
    encoding = encoding_of(content.data, whole=content.sha256 is not None)
    if encoding is None:
        return await _media(ctx, content, facts)
    if content.sha256 is not None:
        window = window_of(encoding.decode(content.data), offset, limit)
    else:
        async with ctx.workspace.open(path) as file:
            window = await read_window(file, encoding, offset, limit)
    return _text(window, encoding, content.stat, facts)


def _text(window: Window, encoding: Encoding, stat: FileStat, facts: dict[str, Any]) -> ToolResult:
    data = facts | {
        "offset": window.first,
        "lines": window.count,
        "total_lines": window.total,
        "truncated": window.rest or window.clipped,
        "encoding": encoding.name,
    }
    notes = [note for note in (_place(window, stat), _manner(encoding)) if note]
    body = [window.text] if window.count else []
    return ToolResult("\n".join([*body, *(f"[{note}]" for note in notes)]), data)


def _place(window: Window, stat: FileStat) -> str:
    """Which lines these are, unless they are all."""
    if window.total == 0:
        return "the file is empty"
    whole = f"{window.total:,} lines" if window.total is not None else f"{stat.size:,} bytes"
    if not window.count:
        return f"the file has only {whole}"
    if window.first == 1 and not window.rest:
        return ""
    after = window.first + window.count
    place = f"lines {window.first} to {after - 1} of {whole}" + (", counted from the end" if window.first < 0 else "")
    return f"{place}; go on with offset={after}" if window.rest else place


def _manner(encoding: Encoding) -> str:
    return "" if encoding.name == "utf-8" else f"encoded as {encoding.name}"


async def _media(ctx: ToolContext, content: Content, facts: dict[str, Any]) -> ToolResult:
    mime = media_type(content.data)
    shown = f"{facts['path']}: {mime}, {content.stat.size:,} bytes"
    if mime in IMAGES and content.sha256 is not None:
        image = await ctx.blobs.put(content.data, mime)
        return ToolResult(shown, facts | {"mime": mime, "truncated": False}, (image,))
    head = content.data[:HEX_HEAD].hex(" ")
    data = facts | {"binary": True, "mime": mime, "hex": head, "truncated": content.stat.size > HEX_HEAD}
    return ToolResult(f"[binary] {shown}; it begins with\n{head}", data)
