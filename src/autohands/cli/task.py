"""`autohands task`: what was asked for, how far it came, and taking it up again."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from autohands.cli import options, work
from autohands.cli.console import Console
from autohands.cli.follow import stored_events
from autohands.cli.listing import Item, minute, show_items, show_one, when
from autohands.cli.paper import fitting
from autohands.cli.render import describe, dollars, tokens, why_failed
from autohands.protocols.events import Event, ReplyFinished, ToolFinished, Unknown
from autohands.protocols.messages import Message, ToolCall, Usage
from autohands.protocols.storage import Step
from autohands.protocols.task import TaskRecord
from autohands.protocols.tool import ToolResult

_ENOUGH = len("task_01a2030f-797e-746e")
_PROMPT_COLUMNS = 60
STATES = ("delayed", "blocked", "ready", "running", "waiting", "paused", "done", "failed", "cancelled", "dead")


@click.group("task")
def command() -> None:
    """Tasks: list, show, cancel, resume. An id may be cut to a unique beginning."""


@command.command("list")
@click.option("--state", multiple=True, type=click.Choice(STATES), help="Only those; may be repeated.")
@click.option("--session", metavar="ID", help="Only those of a session.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@options.everywhere
def show_list(*, json: bool, config: Path | None, **wanted: Any) -> int:
    """Tasks, newest first."""
    return work.run(_list(json=json, config=config, **wanted))


async def _list(*, json: bool, config: Path | None, state: tuple[Any, ...], session: str | None, limit: int) -> int:
    async with work.looking(config=config) as hands:
        named = (await hands.storage.session(session)).id if session else None
        records = await hands.storage.tasks(session=named, states=state, limit=limit)
        left = await hands.storage.interrupted()
    show_items(
        [{**(summary(record) if json else _line(record)), **_mark(record, left, json=json)} for record in records],
        ("id", "state", "turns", "created", "prompt"),
        json=json,
        none='no tasks yet: autohands run "…"',
    )
    return 0


@command.command("show")
@click.argument("task")
@click.option("--events", is_flag=True, help="With everything that happened.")
@options.everywhere
def show(task: str, *, events: bool, json: bool, config: Path | None) -> int:
    """One task with its steps."""
    return work.run(_show(task, events=events, json=json, config=config))


async def _show(task: str, *, events: bool, json: bool, config: Path | None) -> int:
    import msgspec

    async with work.looking(config=config) as hands:
        record = await hands.storage.task(task)
        told = await stored_events(hands, record.id)
        acts = read_acts(event for _, event in told)
        found = [step for step in await hands.storage.steps(record.id) if step.kind != "opening"]
        left = await hands.storage.interrupted()
        spent = await hands.storage.spent(record.id)
    usage = sum((step.usage for step in found if step.usage), Usage())
    shown = {**summary(record), **_mark(record, left, json=json), "text": record.text, "error": record.error}
    steps = [_step(step, acts) for step in found]
    happened: list[Item] = [msgspec.json.decode(data) for data, _ in told] if events else []
    if json:
        costs = {"usage": usage, "micro_usd": spent, "steps": steps}
        show_one({**shown, **costs} | ({"events": happened} if events else {}), json=True)
        return 0
    show_one({**shown, "tokens": tokens(usage), "cost": dollars(spent)}, json=False)
    click.echo()
    columns = ("turn", "index", "name", "status", "seconds", "what", "why")
    rows = [{**step, "status": "denied"} if step.get("denied") else step for step in steps]
    show_items(rows, columns, json=False, none="no steps yet")
    if events:
        click.echo()
        lines = [{**each, "at": when(each.get("at")), "what": _rest(each)} for each in happened]
        show_items(lines, ("seq", "at", "type", "what"), json=False, none="no events")
    return 0


@command.command("cancel")
@click.argument("task")
@options.everywhere
def cancel(task: str, *, json: bool, config: Path | None) -> int:
    """Cancel a task: at once if it waits, else whoever runs it stops it."""
    return work.run(_cancel(task, json=json, config=config))


async def _cancel(task: str, *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        record = await hands.cancel((await hands.storage.task(task)).id)
    if json:
        show_one(summary(record), json=True)
    else:
        state = record.state if record.finished else "asked to stop"
        click.echo(f"{record.id}: {state}")
    return 0


@command.command("resume")
@click.argument("task")
@click.option("--yes", is_flag=True, help="Allow effects inside the workspace without asking.")
@options.everywhere
def resume(task: str, *, yes: bool, json: bool, config: Path | None) -> int:
    """Take up a task that was interrupted, waits or failed, from what is recorded; follow it to its end."""
    return work.run(_resume(task, yes=yes, json=json, config=config))


async def _resume(task: str, *, yes: bool, json: bool, config: Path | None) -> int:
    async with work.opened(config=config) as hands:
        record = await hands.storage.task(task)
        return await Console(hands, json=json, yes=yes).resume(record)


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
        "turns": record.turns,
        "attempt": record.attempt,
        "created": when(record.created),
        "updated": when(record.updated),
        "ended": when(record.ended),
    }


def _line(record: TaskRecord) -> dict[str, Any]:
    """A task in a table: a terminal shows as much of the id as it takes to name it."""
    shown = record.id[:_ENOUGH] if sys.stdout.isatty() else record.id
    prompt = fitting(" ".join(record.task.prompt.split()), _PROMPT_COLUMNS)
    return {**summary(record), "id": shown, "created": minute(record.created), "prompt": prompt}


def _mark(record: TaskRecord, left: Collection[str], *, json: bool) -> dict[str, Any]:
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


def _step(step: Step, acts: Mapping[tuple[int, int], Act]) -> dict[str, Any]:
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


def _rest(event: Item) -> dict[str, Any]:
    """What an event says beyond its envelope."""
    return {name: value for name, value in event.items() if name not in ("type", "task", "session", "at", "seq")}
