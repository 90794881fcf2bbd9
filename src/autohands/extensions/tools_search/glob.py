"""`glob`: files by name."""

from __future__ import annotations

import os

from autohands.sdk import ToolContext, ToolResult, tool

from .pattern import Pattern
from .ripgrep import place, searching, switches

MOST_PATHS = 100_000


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
    wanted = Pattern(pattern)
    arguments = ["--files", "--null", *switches(hidden=hidden, no_ignore=no_ignore)]
    if wanted.names:
        arguments += ["--type=wanted", *(f"--type-add=wanted:{name}" for name in wanted.names)]
    names: list[str] = []
    async with place(ctx, path) as where, searching(ctx, where, arguments, rows=False) as search:
        async for chunk in search.chunks():
            found = (os.fsdecode(name).removeprefix("./") for name in chunk.split(b"\0") if name)
            names.extend(name for name in found if wanted.matches(name) and (hidden or not _is_hidden(name)))
            if len(names) > MOST_PATHS:
                search.incomplete = True
                break
    names = sorted(where.prefix + name for name in names)
    shown = [ctx.workspace.shown(name) for name in names[: max(limit, 0)]]
    notes = []
    if left := len(names) - len(shown):
        notes.append(f"[{left:,} more; narrow the pattern or raise limit]")
    if search.incomplete:
        notes.append("[the search is incomplete: too many files or too slow; search a directory further down]")
    text = "\n".join([*shown, *notes]) or f"[no file matches {pattern}]"
    return ToolResult(text, {"paths": shown, "total": len(names), "truncated": bool(notes)})


def _is_hidden(path: str) -> bool:
    """Whether the file's own name is hidden: ripgrep enters no hidden directory, but a type brings up hidden files."""
    return path[path.rfind("/") + 1] == "."
