"""Results kept whole: what a call returned is read back, from its recorded step or from the blob it was put into."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from autohands.protocols.context import ToolContext
from autohands.protocols.errors import NotFound, StorageUnavailable, ToolError
from autohands.protocols.messages import Reply
from autohands.protocols.records import Step
from autohands.protocols.storage import Storage
from autohands.protocols.task import TaskRecord
from autohands.protocols.tool import Tool, ToolResult
from autohands.sdk.clip import clip_ends, clip_lines, json_safe
from autohands.sdk.tool import tool

READ_RESULT = "read_result"
MOST_BYTES = 8 << 20
LONGEST_LINE = 4_000
MOST_TASKS = 1_000
MOST_FORKS = 100
_REPLY = msgspec.json.Decoder(Reply)
_RESULT = msgspec.json.Decoder(ToolResult)


async def offloaded(result: ToolResult, ctx: ToolContext, output_bytes: int) -> ToolResult:
    """A result too long for the model: its whole text goes into a blob, both ends of it stay with a word on the rest.

    Where nothing can be stored the middle is lost, and nothing else.
    """
    text = json_safe(result.text)
    data = clip_ends(text, MOST_BYTES).encode()
    if len(data) <= output_bytes:
        return msgspec.structs.replace(result, text=text)
    try:
        full = await ctx.blobs.put(data, "text/plain")
    except StorageUnavailable:
        return msgspec.structs.replace(result, text=clip_ends(text, output_bytes))
    hint = f"{READ_RESULT} shows all of it: call {ctx.scope.key!r}"
    return msgspec.structs.replace(result, text=clip_ends(text, output_bytes, hint=hint), full=full)


def read_result_tool(storage: Storage) -> Tool:
    """The tool that reads results back. It is the runtime's own: no extension sees recorded steps."""

    @tool(effect="read")
    async def read_result(ctx: ToolContext, call: str, offset: int = 1, limit: int = 400) -> str:
        """Read the whole result of an earlier call of this session, where only a part of it is shown.

        Args:
            call: The call, as the note in place of its result names it.
            offset: First line to return, counting from 1; below zero counts from the end.
            limit: How many lines to return at most.
        """
        if limit < 1:
            raise ToolError("invalid_arguments: limit must be at least 1")
        step = await _find(storage, ctx, call)
        if step is None or not step.output:
            raise ToolError(f"not_found: this session has no result of a call {call!r}")
        result = _RESULT.decode(step.output)
        try:
            text = result.text if result.full is None else (await ctx.blobs.get(result.full)).decode()
        except NotFound:
            text = result.text
        return clip_lines(text, offset, limit, longest=LONGEST_LINE)

    return read_result


async def _find(storage: Storage, ctx: ToolContext, call: str) -> Step | None:
    """The step of a call, named by its key (`task:turn:index`) or by the model's id for it."""
    task, _, place = call.partition(":")
    async for record in _tasks(storage, ctx, task if place else ""):
        steps = await storage.steps(record.id)
        wanted = _place(steps, call) if not place else tuple(place.split(":"))
        for step in steps:
            if step.kind == "tool" and (str(step.turn), str(step.index)) == wanted:
                return step
    return None


def _place(steps: list[Step], call_id: str) -> tuple[str, str] | None:
    """Turn and index of the call with that id."""
    for step in steps:
        if step.kind == "model" and step.output and call_id.encode() in step.output:
            for index, call in enumerate(_REPLY.decode(step.output).tool_calls, 1):
                if call.id == call_id:
                    return str(step.turn), str(index)
    return None


async def _tasks(storage: Storage, ctx: ToolContext, named: str) -> AsyncIterator[TaskRecord]:
    """The tasks of this session, newest first, then of those it was forked from; only the one that is named, if any."""
    session: str | None = ctx.session
    for _ in range(MOST_FORKS):
        if session is None:
            return
        for record in await storage.tasks(session=session, limit=MOST_TASKS):
            if not named or record.id == named:
                yield record
        try:
            session = (await storage.session(session, ctx.scope.principal)).forked_from
        except NotFound:
            return
