"""How a sub-agent is told of: its state, its answer, its money."""

from __future__ import annotations

from typing import Any

from autohands.protocols.task import Child, TaskRecord
from autohands.sdk import ToolContext, ToolError, ToolResult

MICRO = 1_000_000
WORDS = {
    "ready": "about to begin",
    "running": "at work",
    "waiting": "waiting",
    "delayed": "not begun yet",
    "blocked": "behind others of its session",
    "paused": "paused",
}


async def find(ctx: ToolContext, child_id: str) -> Child:
    """A sub-agent of this run. Raises `ToolError` that names those there are."""
    known = await ctx.children.list()
    for child in known:
        if child.record.id == child_id:
            return child
    ids = ", ".join(child.record.id for child in known[-20:]) or "it has started none"
    raise ToolError(f"unknown_child: this run has started no {child_id!r}; {ids}")


def usd(micro_usd: int | None) -> float | None:
    """Micro-USD in USD."""
    return None if micro_usd is None else micro_usd / MICRO


def facts(child: Child) -> dict[str, Any]:
    """A sub-agent as data."""
    record = child.record
    return {
        "child_id": record.id,
        "agent_id": record.task.agent,
        "state": record.state,
        "reason": record.reason,
        "waits": list(record.waits),
        "spent_usd": usd(child.spent),
        "budget_usd": usd(record.task.budget_micro_usd),
    }


def line(child: Child) -> str:
    """A sub-agent in one line."""
    record = child.record
    state = record.state if record.finished else WORDS.get(record.state, record.state)
    reason = f" ({record.reason})" if record.reason and record.reason != record.state else ""
    budget = record.task.budget_micro_usd
    of = "" if budget is None else f" of {budget / MICRO:.4f}"
    return f"{record.id} {record.task.agent}: {state}{reason}, {child.spent / MICRO:.4f}{of} USD"


def answer(record: TaskRecord) -> ToolResult:
    """What became of a sub-agent that has ended."""
    outcome = {"state": record.state, "reason": record.reason, "text": record.text, "error": record.error}
    return outcome_of(record.id, outcome)


def outcome_of(child_id: str, outcome: dict[str, Any]) -> ToolResult:
    """The result of a sub-agent, from what it told at its end."""
    state, reason = outcome.get("state"), outcome.get("reason")
    text, error = outcome.get("text") or "", outcome.get("error") or ""
    if state == "done":
        return ToolResult(text or "It has ended without a word.", {"child_id": child_id, **outcome})
    told = f"{child_id} has not come to its end: {reason or state}" + (f", {error}" if error else "")
    if text:
        told += f"\nWhat it said last:\n{text}"
    return ToolResult(told, {"child_id": child_id, **outcome}, failed=True)
