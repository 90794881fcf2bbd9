"""`edit_file`: parts of a file replaced, one or several, all or none."""

from __future__ import annotations

import asyncio
from typing import TypedDict, Unpack

from msgspec import Struct

from autohands.protocols.workspace import Content
from autohands.sdk import ToolContext, ToolError, ToolResult, tool

from .diff import unified_diff
from .edits import Edit, apply_edits, made_already
from .seen import WHOLE, Seen
from .text import Encoding, encoding_of, showable


class Plan(Struct, frozen=True):
    """What an edit makes of a file."""

    data: bytes
    replacements: int
    drifted: bool
    diff: str


class Asked(TypedDict, total=False):
    """The arguments of `edit_file` that say what to replace."""

    old_string: str | None
    new_string: str | None
    edits: list[Edit] | None
    replace_all: bool


def requested(asked: Asked) -> list[Edit]:
    """The edits that the arguments ask for, in either of their two forms.

    Raises:
        ToolError: Both forms, or neither.
    """
    old, new, edits = asked.get("old_string"), asked.get("new_string"), asked.get("edits")
    if edits and old is None and new is None:
        return edits
    if edits or old is None or new is None:
        raise ToolError("invalid_arguments: give old_string and new_string, or edits, a list of such pairs")
    return [Edit(old, new, asked.get("replace_all", False))]


def readable(path: str, content: Content) -> tuple[str, Encoding]:
    """A file's text and how it is encoded. Raises `ToolError` where it is too large or not text."""
    if content.sha256 is None:
        raise ToolError(
            f"file_too_large: {path} has {content.stat.size:,} bytes, {WHOLE:,} can be edited; use a script"
        )
    encoding = encoding_of(content.data)
    if encoding is None:
        raise ToolError(f"not_text: {path} is a binary file")
    return encoding.decode(content.data), encoding


def plan_edit(path: str, content: Content, edits: list[Edit]) -> Plan:
    """The new content and the diff to the old one. Raises `ToolError` where an edit cannot be made."""
    text, encoding = readable(path, content)
    edited = apply_edits(text, edits)
    try:
        data = encoding.encode(edited.text)
    except UnicodeEncodeError as error:
        wrong = error.object[error.start]
        raise ToolError(
            f"not_encodable: {path} is {encoding.name}, which has no {wrong!a}; nothing was written"
        ) from error
    diff = unified_diff(showable(text), showable(edited.text), path)
    return Plan(data, edited.replacements, edited.drifted, diff)


async def preview_edit(ctx: ToolContext, path: str, **asked: Unpack[Asked]) -> str:
    """The diff that the edit would make."""
    edits = requested(asked)
    content = await ctx.workspace.read_bytes(path, WHOLE)
    return (await asyncio.to_thread(plan_edit, ctx.workspace.relative(path), content, edits)).diff


async def reconcile_edit(ctx: ToolContext, key: str, path: str, **asked: Unpack[Asked]) -> ToolResult | None:
    """What the file itself tells: all edits there, none there, or (None) nothing that is certain."""
    content = await ctx.workspace.read_bytes(path, WHOLE)
    shown = ctx.workspace.relative(path)
    made = made_already(readable(shown, content)[0], requested(asked))
    if made is None:
        return None
    if made:
        Seen(ctx).put(path, content.sha256)
        return ToolResult(f"Edited {shown} before the interruption.", {"path": shown, "sha256_after": content.sha256})
    return ToolResult(f"interrupted: {shown} was not edited; make the call again", failed=True)


# Compensable: the same edit made twice may hit another place, so after a crash only the file can tell.
@tool(effect="compensable", preview=preview_edit, reconcile=reconcile_edit)
async def edit_file(
    ctx: ToolContext,
    path: str,
    old_string: str | None = None,
    new_string: str | None = None,
    edits: list[Edit] | None = None,
    *,
    replace_all: bool = False,
) -> ToolResult:
    """Replace text in a file of the workspace: one old_string by new_string, or several by edits, all or none.

    The old text must occur once; quote enough lines around it. Differences in whitespace and indentation are
    tolerated where there is no exact match. Line endings and encoding are kept. A diff comes back.

    Args:
        path: File to change, relative to the workspace.
        old_string: The text to replace, as it stands in the file.
        new_string: What comes in its place.
        edits: Several replacements, made in this order, each on what the one before left.
        replace_all: Replace every occurrence of old_string.
    """
    asked = Asked(old_string=old_string, new_string=new_string, edits=edits, replace_all=replace_all)
    wanted = requested(asked)
    content = await ctx.workspace.read_bytes(path, WHOLE)
    seen, shown = Seen(ctx), ctx.workspace.relative(path)
    seen.check(path, content.sha256)
    plan = await asyncio.to_thread(plan_edit, shown, content, wanted)
    written = await ctx.workspace.write_atomic(path, plan.data, expected_sha256=content.sha256)
    seen.put(path, written.sha256)
    return told(shown, plan, {"sha256_before": content.sha256, "sha256_after": written.sha256})


def told(path: str, plan: Plan, hashes: dict[str, str | None]) -> ToolResult:
    """What the model is told of an edit."""
    times = "1 replacement" if plan.replacements == 1 else f"{plan.replacements} replacements"
    manner = ", matched in spite of differences in whitespace" if plan.drifted else ""
    data = {"path": path, "replacements": plan.replacements, "drifted": plan.drifted, "diff": plan.diff} | hashes
    return ToolResult(f"Edited {path}: {times}{manner}.\n{plan.diff}", data)
