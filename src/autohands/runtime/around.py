"""What surrounds each tool call, in a fixed order: time limit → run → text made safe → clip."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from autohands.protocols.context import ToolContext
from autohands.protocols.errors import AutoHandsError
from autohands.protocols.tool import Arguments, Tool, ToolResult
from autohands.sdk.clip import clip_ends, json_safe

logger = logging.getLogger(__name__)


async def carry_out(tool: Tool, ctx: ToolContext, arguments: Arguments, output_bytes: int) -> ToolResult:
    """Run a call whose arguments are valid and which is allowed. A failure is a result that the model can read.

    Raises:
        CancelledError, Parked: They are no failures.
    """
    return clean(await _run(tool, ctx, arguments), output_bytes)


async def _run(tool: Tool, ctx: ToolContext, arguments: Arguments) -> ToolResult:
    try:
        async with asyncio.timeout(tool.timeout_seconds):
            return await tool.run(ctx, arguments)
    except TimeoutError:
        return ToolResult(f"timed_out: no result after {tool.timeout_seconds:g} s", failed=True)
    except AutoHandsError as error:
        return ToolResult(error.text if error.hint is None else f"{error.text} ({error.hint})", failed=True)
    except Exception as error:  # a tool is foreign code: what it raises is a result, not the end of the run
        logger.exception("tool %s failed", tool.schema.name)
        return ToolResult(f"tool_crashed: {type(error).__name__}: {error}", failed=True)


def clean(result: ToolResult, output_bytes: int) -> ToolResult:
    """The result with its text made valid for JSON and bounded to `output_bytes`."""
    text = result.text
    if text.isascii() and len(text) <= output_bytes and "\0" not in text:
        return result
    return msgspec.structs.replace(result, text=clip_ends(json_safe(text), output_bytes))
