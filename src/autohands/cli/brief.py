"""How tasks and their steps are shown."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import Struct

from autohands.cli.listing import Item, minute, when
from autohands.cli.paper import fitting
from autohands.cli.render import describe, why_failed
from autohands.protocols.events import Event, ReplyFinished, ToolFinished, Unknown
from autohands.protocols.messages import Message, ToolCall
from autohands.protocols.records import Step
from autohands.protocols.task import TaskRecord
from autohands.protocols.tool import ToolResult

_ENOUGH = len("task_01a2030f-797e-746e")
_PROMPT_COLUMNS = 60


def summary(record: TaskRecord) -> dict[str, Any]:
    """A task as a list shows it."""
    return {
        "id": record.id,
        "state": record.state,
        "reason": record.reason,
        "session": record.session,
        "prompt": record.task.prompt,
        "model": record.task.model,
        "agent": record.task.agent,
        "workspace": record.task.workspace,
        "source": record.task.source,
        "queue": "" if record.task.in_own_queue else record.task.queue,
        "turns": record.turns,
        "attempt": record.attempt,
        "crashes": record.crashes,
        "waits": record.waits,
        "forked_from": record.forked_from,
        "forked_turn": record.forked_turn,
        "replays": record.task.replays,
        "due": when(record.run_at) if record.state in ("delayed", "waiting") else None,
        "created": when(record.created),
        "updated": when(record.updated),
        "ended": when(record.ended),
    }


def line(record: TaskRecord) -> dict[str, Any]:
    """A task in a table: a terminal shows as much of the id as it takes to name it."""
    shown = record.id[:_ENOUGH] if sys.stdout.isatty() else record.id
    prompt = fitting(" ".join(record.task.prompt.split()), _PROMPT_COLUMNS)
    return {**summary(record), "id": shown, "created": minute(record.created), "prompt": prompt}


def mark(record: TaskRecord, left: Collection[str], *, json: bool) -> dict[str, Any]:
    """What is said of a task that nobody works on any more, though it has not ended."""
    if record.id not in left:
        return {}
    return {"interrupted": True} if json else {"state": "interrupted", "next": f"autohands task resume {record.id}"}


class Act(Struct, frozen=True):
    """What a call was about, and why it was not done."""

    what: str = ""
    denied: bool = False
    why: str = ""


def read_acts(told: Iterable[Event | Unknown]) -> dict[tuple[int, int], Act]:
    """The calls of a task by turn and index."""
    calls: dict[str, ToolCall] = {}
    acts: dict[tuple[int, int], Act] = {}
    for event in told:
        if isinstance(event, ReplyFinished) and isinstance(event.message, Message):
            calls = {call.id: call for call in event.message.tool_calls}
        elif isinstance(event, ToolFinished):
            call = calls.get(event.call_id)
            result = event.result if isinstance(event.result, ToolResult) else None
            why = why_failed(result) if result and event.status != "done" else ""
            what = describe(call).removeprefix(call.name).strip() if call else ""
            acts[event.turn, event.index] = Act(what, event.status == "denied", why)
    return acts


def step_line(step: Step, acts: Mapping[tuple[int, int], Act]) -> dict[str, Any]:
    act = acts.get((step.turn, step.index), Act())
    return {
        "turn": step.turn,
        "index": step.index,
        "kind": step.kind,
        "name": step.name,
        "status": step.status,
        **({"denied": True} if act.denied else {}),
        "what": act.what,
        "why": act.why,
        "started": when(step.started),
        "ended": when(step.ended),
        "seconds": None if step.ended is None else (step.ended - step.started) / 1000,
        "usage": step.usage,
    }


def rest(event: Item) -> dict[str, Any]:
    """What an event says beyond its envelope."""
    return {name: value for name, value in event.items() if name not in ("type", "task", "session", "at", "seq")}
