"""What a model is told of a process: its output, bounded and clean, how it ended, and the same as data."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from autohands.protocols.process import Captured, EndReason, ExitStatus, Process
from autohands.sdk import ToolContext, ToolError, ToolResult
from autohands.sdk.clip import join_ends, plain

OUTPUT_BYTES = 30_000
SHOWN_BYTES = 32_768
LONGEST_SECONDS = 3_600.0

REASONS: dict[EndReason, str] = {
    "oom": "oom: killed, it used more memory than a command may",
    "fsize": "fsize: a file grew larger than a command may write",
    "processes": "processes: killed, it started more of them than a command may",
    "cancelled": "ended on request",
    "lost": "lost: its supervisor is gone",
}


def result(captured: Captured, *, hint: str = "", more: dict[str, Any] | None = None) -> ToolResult:
    """A finished command as a result; `hint` says where the left out middle is, `more` goes into the data."""
    text = output_text(captured.head, captured.tail, captured.left_out, hint=hint)
    notes = [how_ended(captured.status)] if not captured.status.ok or not text else []
    return ToolResult(
        "\n".join([*([text] if text else []), *(f"[{note}]" for note in notes)]),
        ended_data(captured.status) | {"total_bytes": captured.total, "truncated": captured.truncated} | (more or {}),
        failed=not captured.status.ok,
    )


def output_text(head: bytes, tail: bytes, left_out: int, *, hint: str = "") -> str:
    """Output for a model: valid, without what only a terminal obeys, without the last newline."""
    return plain(join_ends(head, tail, left_out, hint=hint)).removesuffix("\n")


def how_ended(status: ExitStatus) -> str:
    """How a process ended, in a few words."""
    if status.reason == "timeout":
        return f"timed out after {status.duration_seconds:.1f} s and was ended; what it printed until then is above"
    if status.reason in REASONS:
        return REASONS[status.reason]
    return f"exit code {status.code}" if status.signal is None else f"ended by {status.signal}"


def ended_data(status: ExitStatus) -> dict[str, Any]:
    """How a process ended, as data."""
    return {
        "exit_code": status.code,
        "signal": status.signal,
        "reason": status.reason,
        "timed_out": status.reason == "timeout",
        "duration_seconds": round(status.duration_seconds, 3),
    }


def checked_seconds(timeout_seconds: float) -> float:
    """A time limit that makes sense. Raises `ToolError`."""
    if not 0 < timeout_seconds <= LONGEST_SECONDS:
        raise ToolError(f"invalid_arguments: timeout_seconds must be above 0 and at most {LONGEST_SECONDS:g}")
    return timeout_seconds


class Live:
    """Shows output while it comes, up to a bound: the result shows the rest."""

    def __init__(self, ctx: ToolContext) -> None:
        self._show: Callable[[str], None] = ctx.progress
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._left = SHOWN_BYTES

    def show(self, data: bytes) -> None:
        """Show the next bytes."""
        if self._left > 0 and (text := plain(self._decoder.decode(data[: self._left]))):
            self._show(text)
        self._left -= len(data)

    async def follow(self, process: Process) -> None:
        """Show what a process prints until it ends. What ends at once shows nothing: its result comes as soon."""
        cursor = 0
        while self._left > 0 and await process.grown(cursor) > cursor and process.status is None:
            chunk = process.read(cursor)
            cursor = chunk.next
            self.show(chunk.data)
