"""`grep`: lines by pattern."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Literal

from msgspec import Struct

from autohands.sdk import ToolContext, ToolError, ToolResult, tool
from autohands.sdk.clip import clip_line, decode

from .ripgrep import Place, Search, place, switches

LONGEST_SHOWN = 500
MOST_KEPT = 50_000
MOST_CONTEXT = 50
_LINE = re.compile(rb"([^\0]+)\0(\d+)([:-])(.*)", re.DOTALL)


class Line(Struct, frozen=True):
    """A line that was found, or (`match` False) one around it."""

    path: str
    number: int
    text: bytes
    match: bool


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
            arguments += ["--line-number", "--no-heading", f"--context={min(max(context, 0), MOST_CONTEXT)}"]
            return await _content(ctx, where, arguments, max(limit, 1))
        arguments.append("--files-with-matches" if output == "files" else "--count")
        return await _files(ctx, where, arguments, max(limit, 1))


async def _content(ctx: ToolContext, where: Place, arguments: list[str], limit: int) -> ToolResult:
    search, found, cut = Search(ctx, where, arguments), list[Line](), False
    async for chunk in search.chunks():
        found.extend(_lines(chunk, where))
        if cut := len(found) > MOST_KEPT:
            break
    found.sort(key=lambda line: (line.path, line.number))
    total = sum(line.match for line in found)
    shown = _first(found, limit)
    matches = [
        {
            "path": ctx.workspace.shown(line.path),
            "line": line.number,
            "text": clip_line(decode(line.text), LONGEST_SHOWN),
        }
        for line in shown
        if line.match
    ]
    incomplete = cut or search.timed_out
    notes = _notes(total - len(matches), incomplete=incomplete)
    text = "\n".join([*_rendered(ctx, shown), *notes]) or "[no line matches]"
    data = {
        "matches": matches,
        "paths": list(dict.fromkeys(str(match["path"]) for match in matches)),
        "total": total,
        "truncated": bool(notes),
    }
    return ToolResult(text, data)


async def _files(ctx: ToolContext, where: Place, arguments: list[str], limit: int) -> ToolResult:
    counting = "--count" in arguments
    search, found = Search(ctx, where, arguments, b"\n" if counting else b"\0"), dict[str, int]()
    async for chunk in search.chunks():
        for entry in chunk.split(b"\n" if counting else b"\0"):
            name, _, count = entry.partition(b"\0")
            if name:
                found[where.path(os.fsdecode(name))] = int(count) if count else 1
    names = sorted(found)
    shown = {ctx.workspace.shown(name): found[name] for name in names[:limit]}
    notes = _notes(len(names) - len(shown), incomplete=search.timed_out)
    rows = [f"{name}:{count}" if counting else name for name, count in shown.items()]
    data: dict[str, Any] = {"paths": list(shown), "total": len(names), "truncated": bool(notes)}
    if counting:
        data["counts"] = [{"path": name, "count": count} for name, count in shown.items()]
    return ToolResult("\n".join([*rows, *notes]) or "[no file matches]", data)


def _lines(chunk: bytes, where: Place) -> Iterable[Line]:
    for row in chunk.split(b"\n"):
        if parts := _LINE.fullmatch(row):
            name, number, sign, text = parts.groups()
            yield Line(where.path(os.fsdecode(name)), int(number), text.rstrip(b"\r"), sign == b":")


def _first(found: list[Line], limit: int) -> list[Line]:
    """The lines up to the `limit`-th match, with what stands around it."""
    seen = 0
    for position, line in enumerate(found):
        seen += line.match
        if seen > limit:
            return found[:position]
    return found


def _rendered(ctx: ToolContext, shown: list[Line]) -> Iterable[str]:
    """Lines as `path:line:text`, those around a match as `path-line-text`, `--` where lines between are left out."""
    around = any(not line.match for line in shown)
    before: Line | None = None
    for path, group in groupby(shown, key=lambda line: line.path):
        name = ctx.workspace.shown(path)
        for line in group:
            if around and before and (before.path != path or line.number != before.number + 1):
                yield "--"
            sign = ":" if line.match else "-"
            yield f"{name}{sign}{line.number}{sign}{clip_line(decode(line.text), LONGEST_SHOWN)}"
            before = line


def _notes(left: int, *, incomplete: bool) -> list[str]:
    notes = [f"[{left:,} more; narrow the pattern or the path, or raise limit]"] if left > 0 else []
    if incomplete:
        notes.append("[the search is incomplete: too many lines or too slow; search a directory further down]")
    return notes
