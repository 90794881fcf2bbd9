"""`glob`: files by name."""

from __future__ import annotations

import os
from collections.abc import Callable

from autohands.sdk import ToolContext, ToolError, ToolResult, tool

from .ripgrep import Search, place, switches

LONGEST_PATTERN = 1_000


@tool(effect="read")
async def glob(
    ctx: ToolContext,
    pattern: str,
    path: str = ".",
    *,
    hidden: bool = False,
    no_ignore: bool = False,
    limit: int = 500,
) -> ToolResult:
    """Find files whose path matches a pattern, in alphabetical order. Files that .gitignore names are left out.

    Args:
        pattern: Such as *.py (at any depth), src/**/*.{ts,tsx} or docs/*.md. `*` stays within a directory.
        path: Directory to search, relative to the workspace.
        hidden: Look at hidden files and directories too.
        no_ignore: Look at ignored files too.
        limit: How many paths to give at most.
    """
    matches = compiled(pattern)
    names: list[str] = []
    async with place(ctx, path) as where:
        search = Search(ctx, where, ["--files", "--null", *switches(hidden=hidden, no_ignore=no_ignore)], b"\0")
        async for chunk in search.chunks():
            found = (os.fsdecode(name).removeprefix("./") for name in chunk.split(b"\0") if name)
            names.extend(where.prefix + name for name in found if matches(name))
    names.sort()
    shown = [ctx.workspace.shown(name) for name in names[: max(limit, 0)]]
    truncated = len(names) > len(shown) or search.timed_out
    notes = []
    if left := len(names) - len(shown):
        notes.append(f"[{left:,} more; narrow the pattern or raise limit]")
    if search.timed_out:
        notes.append("[the search took too long and is incomplete; search a directory further down]")
    text = "\n".join([*shown, *notes]) or f"[no file matches {pattern}]"
    return ToolResult(text, {"paths": shown, "total": len(names), "truncated": truncated})


def compiled(pattern: str) -> Callable[[str], bool]:
    """What tells whether a path matches; a pattern without a slash fits at any depth.

    Raises:
        ToolError: The pattern is empty or too long.
    """
    from wcmatch import glob as wild
    from wcmatch._wcparse import PatternLimitException  # of a brace with too many alternatives

    if not 0 < len(pattern) <= LONGEST_PATTERN:
        raise ToolError(f"invalid_pattern: a pattern has 1 to {LONGEST_PATTERN:,} characters")
    flags = wild.GLOBSTAR | wild.BRACE | wild.DOTGLOB | wild.MATCHBASE | wild.FORCEUNIX
    try:
        matcher = wild.compile(pattern.removeprefix("./"), flags=flags)
    except (PatternLimitException, ValueError) as error:
        raise ToolError(f"invalid_pattern: {error}") from None
    return matcher.match
