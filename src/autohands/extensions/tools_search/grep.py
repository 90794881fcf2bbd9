"""`grep`: lines by pattern."""

from __future__ import annotations

import os
import re
from typing import Any, Literal

from autohands.sdk import ToolContext, ToolError, ToolResult, tool

from .lines import LineReader, rendered
from .ripgrep import Place, place, searching, switches

MOST_KEPT = 20_000
MOST_CONTEXT = 50
COUNT = re.compile(rb"([^\0]+)\0(\d+)\n")


@tool(effect="read")
async def grep(  # noqa: PLR0913  they are the model's parameters, not a caller's
    ctx: ToolContext,
    pattern: str,
    path: str = ".",
    *,
    glob: str | None = None,
    case_insensitive: bool = False,
    word: bool = False,
    literal: bool = False,
    multiline: bool = False,
    context: int = 0,
    output: Literal["content", "files", "count"] = "content",
    hidden: bool = False,
    no_ignore: bool = False,
    limit: int = 200,
) -> ToolResult:
    """Find lines that match a regular expression (Rust syntax, as ripgrep's). Files that .gitignore names are left out.

    Args:
        pattern: Regular expression, or plain text with literal=true.
        path: Directory or file to search, relative to the workspace.
        glob: Only files that match this, such as *.py or !*_test.go.
        case_insensitive: Upper and lower case are the same.
        word: Only whole words.
        literal: The pattern is plain text.
        multiline: The pattern may span lines.
        context: Lines to show before and after each match.
        output: The lines themselves, only the files' names, or the number of matching lines per file.
        hidden: Look at hidden files and directories too.
        no_ignore: Look at ignored files too.
        limit: How many lines or files to give at most.
    """
    if not pattern:
        raise ToolError("invalid_pattern: the pattern is empty; `glob` finds files by name")
    chosen = {
        "--ignore-case": case_insensitive,
        "--word-regexp": word,
        "--fixed-strings": literal,
        "--multiline": multiline,
    }
    arguments = [name for name, wanted in chosen.items() if wanted]
    arguments += [f"--glob={glob}"] if glob else []
    arguments += [*switches(hidden=hidden, no_ignore=no_ignore), "--with-filename", "--null", f"--regexp={pattern}"]
    async with place(ctx, path) as where:
        if output == "content":
            arguments += [*LineReader.switches, f"--context={min(max(context, 0), MOST_CONTEXT)}"]
            return await _content(ctx, where, arguments, max(limit, 1))
        arguments.append("--files-with-matches" if output == "files" else "--count")
        return await _files(ctx, where, arguments, max(limit, 1))


async def _content(ctx: ToolContext, where: Place, arguments: list[str], limit: int) -> ToolResult:
    reader = LineReader(where)
    async with searching(ctx, where, arguments, rows=True) as search:
        async for chunk in search.chunks():
            reader.feed(chunk)
            if len(reader) > MOST_KEPT:
                search.incomplete = True
                break
    total, shown = reader.total, reader.first(limit)
    matches = [
        {"path": ctx.workspace.shown(line.path), "line": line.number, "text": line.text} for line in shown if line.match
    ]
    notes = _notes(total - len(matches), incomplete=search.incomplete)
    text = "\n".join([*rendered(shown, ctx.workspace.shown), *notes]) or "[no line matches]"
    data = {
        "matches": matches,
        "paths": list(dict.fromkeys(str(match["path"]) for match in matches)),
        "total": total,
        "truncated": bool(notes),
    }
    return ToolResult(text, data)


async def _files(ctx: ToolContext, where: Place, arguments: list[str], limit: int) -> ToolResult:
    counting = "--count" in arguments
    found: dict[str, int] = {}
    async with searching(ctx, where, arguments, rows=counting) as search:
        async for chunk in search.chunks():
            pairs = COUNT.findall(chunk) if counting else ((name, 1) for name in chunk.split(b"\0") if name)
            found.update((where.path(os.fsdecode(name)), int(count)) for name, count in pairs)
    names = sorted(found)
    shown = {ctx.workspace.shown(name): found[name] for name in names[:limit]}
    notes = _notes(len(names) - len(shown), incomplete=search.incomplete)
    rows = [f"{name}:{count}" if counting else name for name, count in shown.items()]
    data: dict[str, Any] = {"paths": list(shown), "total": len(names), "truncated": bool(notes)}
    if counting:
        data["counts"] = [{"path": name, "count": count} for name, count in shown.items()]
    return ToolResult("\n".join([*rows, *notes]) or "[no file matches]", data)


def _notes(left: int, *, incomplete: bool) -> list[str]:
    notes = [f"[{left:,} more; narrow the pattern or the path, or raise limit]"] if left > 0 else []
    if incomplete:
        notes.append("[the search is incomplete: too many lines or too slow; search a directory further down]")
    return notes
