"""What surrounds each entry into a tool, in a fixed order: time limit → run → made safe for JSON → offload, clip."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from autohands.protocols.context import Parked, ToolContext
from autohands.protocols.errors import AutoHandsError
from autohands.protocols.tool import Arguments, Tool, ToolResult
from autohands.runtime.results import offloaded
from autohands.sdk.clip import clip_ends, json_safe

Enter: TypeAlias = Callable[[], Awaitable[ToolResult | None]]
logger = logging.getLogger(__name__)

MOST_DATA_BYTES = 1 << 20
LOOK_SECONDS = 30.0
MAYBE_DONE = "; it may have happened all the same: check before repeating it"


async def carry_out(tool: Tool, ctx: ToolContext, arguments: Arguments, output_bytes: int) -> ToolResult:
    """Run a call whose arguments are valid and which is allowed. A failure is a result that the model can read.

    Raises:
        CancelledError, Parked: They are no failures.
    """
    late = "" if tool.effect(arguments) in ("read", "idempotent") else MAYBE_DONE
    result = await _run(tool, lambda: tool.run(ctx, arguments), tool.timeout_seconds, late)
    result = result if result is not None else ToolResult("tool_crashed: no result", failed=True)
    if ctx.scope.turn and len(result.text) > output_bytes:  # a call outside of a run leaves no step to read it from
        return await offloaded(result, ctx, output_bytes)
    return clean(result, output_bytes)


async def preview(tool: Tool, ctx: ToolContext, arguments: Arguments, output_bytes: int) -> str:
    """What a person is shown of a call. A preview that fails is no reason not to ask."""

    async def show() -> ToolResult:
        return ToolResult(await tool.preview(ctx, arguments))

    result = await _run(tool, show, LOOK_SECONDS)
    text = "" if result is None else f"(no preview: {result.text})" if result.failed else result.text
    return clip_ends(json_safe(text), output_bytes)


async def reconcile(
    tool: Tool, ctx: ToolContext, key: str, arguments: Arguments, output_bytes: int
) -> ToolResult | None:
    """The result of a call that was interrupted, if the tool can tell."""
    result = await _run(tool, lambda: tool.reconcile(ctx, key, arguments), LOOK_SECONDS)
    return None if result is None or result.failed else clean(result, output_bytes)


async def _run(tool: Tool, enter: Enter, seconds: float, late: str = "") -> ToolResult | None:
    """What a tool answers. It is foreign code: whatever else it does is a failed result, and ends neither the run nor
    the program."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return _bounded(await enter())
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        return ToolResult("tool_crashed: it cancelled itself", failed=True)
    except AutoHandsError as error:
        return ToolResult(error.text if error.hint is None else f"{error.text} ({error.hint})", failed=True)
    except BaseExceptionGroup as group:
        return _of_group(tool, group)
    except (Exception, SystemExit) as error:
        if limit.expired():
            return ToolResult(f"timed_out: no result after {seconds:g} s{late}", failed=True)
        return _crashed(tool, error)


def is_cancelled() -> bool:
    """Whether somebody wants the present asyncio task to stop, and it has not yet."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _of_group(tool: Tool, group: BaseExceptionGroup[BaseException]) -> ToolResult:
    """Parts of a tool ran side by side. If all that stopped them was that they wait, the call waits for all."""
    waiting, rest = group.split(Parked)
    if waiting is not None and rest is None:
        raise Parked(*(wait for parked in _leaves(waiting) for wait in parked.waits)) from None
    return _crashed(tool, group)


def _leaves(group: BaseExceptionGroup[Parked]) -> list[Parked]:
    leaves: list[Parked] = []
    for each in group.exceptions:
        leaves += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return leaves


def _crashed(tool: Tool, error: BaseException) -> ToolResult:
    logger.error("tool %s failed", tool.schema.name, exc_info=error)
    return ToolResult(f"tool_crashed: {type(error).__name__}: {error}", failed=True)


def _bounded(result: ToolResult | None) -> ToolResult | None:
    """The result, if JSON can carry it; data without end is left out."""
    if result is None or result.data is None:
        return result
    size = len(msgspec.json.encode(result.data))
    if size <= MOST_DATA_BYTES:
        return result
    return msgspec.structs.replace(result, data={"left_out": f"{size:,} bytes"})


def clean(result: ToolResult, output_bytes: int) -> ToolResult:
    """The result with its text made valid for JSON and bounded to `output_bytes`."""
    text = result.text
    if text.isascii() and len(text) <= output_bytes and "\0" not in text:
        return result
    return msgspec.structs.replace(result, text=clip_ends(json_safe(text), output_bytes))
