"""`autohands task`: what was asked for, how far it came, and what is to become of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autohands.cli import complete, options, work
from autohands.cli.brief import line, mark, read_acts, rest, step_line, summary
from autohands.cli.console import Console
from autohands.cli.decide import decide
from autohands.cli.doubts import DECISIONS, doubts_of
from autohands.cli.follow import stored_events
from autohands.cli.fork import fork, replay
from autohands.cli.listing import Item, show_items, show_json, show_one, when
from autohands.cli.render import dollars, tokens
from autohands.cli.submit import json_object, submit
from autohands.protocols.changes import Pause, Redo, Signal
from autohands.protocols.errors import BadRequest, Conflict
from autohands.protocols.loop import DEFAULT
from autohands.protocols.messages import Usage
from autohands.protocols.task import TaskRecord

if TYPE_CHECKING:
    from autohands.hands import Hands

STATES = ("delayed", "blocked", "ready", "running", "waiting", "paused", "done", "failed", "cancelled", "dead")


@click.group("task")
def command() -> None:
    """Tasks: what was asked for, and what becomes of it. An id may be cut to a unique beginning."""


command.add_command(submit)
command.add_command(decide)
command.add_command(fork)
command.add_command(replay)


@command.command("list")
@click.option("--state", multiple=True, type=click.Choice(STATES), help="Only those; may be repeated.")
@click.option("--session", metavar="ID", shell_complete=complete.sessions, help="Only those of a session.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@options.everywhere
def show_list(*, json: bool, config: Path | None, **wanted: Any) -> int:
    """Tasks, newest first. The dead ones (too many attempts) are in --state dead."""
    return work.run(_list(json=json, config=config, **wanted))


async def _list(*, json: bool, config: Path | None, state: tuple[Any, ...], session: str | None, limit: int) -> int:
    async with work.looking(config=config) as hands:
        named = (await hands.storage.session(session)).id if session else None
        records = await hands.storage.tasks(session=named, states=state, limit=limit)
        left = await hands.storage.interrupted()
    show_items(
        [{**(summary(record) if json else line(record)), **mark(record, left, json=json)} for record in records],
        ("id", "state", "turns", "created", "prompt"),
        json=json,
        none="no such tasks" if state or session else 'no tasks yet: autohands run "…"',
    )
    return 0


@command.command("show")
@click.argument("task", shell_complete=complete.tasks)
@click.option("--events", is_flag=True, help="With everything that happened.")
@options.everywhere
def show(task: str, *, events: bool, json: bool, config: Path | None) -> int:
    """One task with its steps, what it waits for, and what is to be decided."""
    return work.run(_show(task, events=events, json=json, config=config))


async def _show(task: str, *, events: bool, json: bool, config: Path | None) -> int:
    import msgspec

    async with work.looking(config=config) as hands:
        record = await hands.storage.task(task)
        told = await stored_events(hands, record.id)
        acts = read_acts(event for _, event in told)
        found = [step for step in await hands.storage.steps(record.id) if step.kind != "opening"]
        doubts = await doubts_of(hands, record.id)
        left = await hands.storage.interrupted()
        spent = await hands.storage.spent(record.id)
    usage = sum((step.usage for step in found if step.usage), Usage())
    shown = {**summary(record), **mark(record, left, json=json), "text": record.text, "error": record.error}
    steps = [step_line(step, acts) for step in found]
    happened: list[Item] = [msgspec.json.decode(data) for data, _ in told] if events else []
    if json:
        more = {"usage": usage, "micro_usd": spent, "steps": steps, "decisions": [doubt.item() for doubt in doubts]}
        show_one({**shown, **more} | ({"events": happened} if events else {}), json=True)
        return 0
    decisions = [f"{doubt.turn}.{doubt.index} {doubt.call.name}" for doubt in doubts]
    if doubts and not record.finished:
        shown["next"] = f"autohands task decide {record.id} {DECISIONS}"
    show_one({**shown, "decisions": decisions, "tokens": tokens(usage), "cost": dollars(spent)}, json=False)
    _show_steps(steps, happened if events else None)
    return 0


def _show_steps(steps: list[dict[str, Any]], happened: list[Item] | None) -> None:
    click.echo()
    columns = ("turn", "index", "name", "status", "seconds", "what", "why")
    rows = [{**step, "status": "denied"} if step.get("denied") else step for step in steps]
    show_items(rows, columns, json=False, none="no steps yet")
    if happened is not None:
        click.echo()
        lines = [{**each, "at": when(each.get("at")), "what": rest(each)} for each in happened]
        show_items(lines, ("seq", "at", "type", "what"), json=False, none="no events")


@command.command("cancel")
@click.argument("task", shell_complete=complete.tasks)
@options.everywhere
def cancel(task: str, *, json: bool, config: Path | None) -> int:
    """Cancel a task: at once if it waits, else whoever runs it stops it."""
    return work.run(_cancel(task, json=json, config=config))


async def _cancel(task: str, *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        record = await hands.cancel((await hands.storage.task(task)).id)
    return _tell(record, record.state if record.finished else "asked to stop", json=json)


@command.command("pause")
@click.argument("task", shell_complete=complete.tasks)
@options.everywhere
def pause(task: str, *, json: bool, config: Path | None) -> int:
    """Let a task rest, from its next step on. It keeps its place in its session; `resume` lets it go on."""
    return work.run(_pause(task, json=json, config=config))


async def _pause(task: str, *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        change = Pause(task=(await hands.storage.task(task)).id)
        record: TaskRecord = (await hands.storage.commit(change))[0]
    return _tell(record, record.state if record.state == "paused" else "asked to rest after its step", json=json)


@command.command("resume")
@click.argument("task", shell_complete=complete.tasks)
@click.option("--yes", is_flag=True, help="Allow effects inside the workspace without asking.")
@options.everywhere
def resume(task: str, *, yes: bool, json: bool, config: Path | None) -> int:
    """Take up a task that was interrupted, waits or failed, from what is recorded; follow it to its end.

    A paused task of a queue that others serve (see `submit`) just goes on there.
    """
    return work.run(_resume(task, yes=yes, json=json, config=config))


async def _resume(task: str, *, yes: bool, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        record = await hands.storage.task(task)
        if record.state == "paused" and not record.task.in_own_queue:
            return await _go_on(hands, record, record.task.queue, json=json)
    async with work.opened(config=config) as hands:
        return await Console(hands, json=json, yes=yes).resume(record)


@command.command("retry")
@click.argument("task", shell_complete=complete.tasks)
@options.everywhere
def retry(task: str, *, json: bool, config: Path | None) -> int:
    """Give a dead or failed task back to its queue, to go on from its recorded steps."""
    return work.run(_retry(task, json=json, config=config))


async def _retry(task: str, *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        record = await hands.storage.task(task)
        if record.state not in ("dead", "failed"):
            hint = f"`autohands task show {record.id}` says where it stands"
            raise Conflict(f"task {record.id} is {record.state}: only what is dead or failed is tried again", hint=hint)
        queue = DEFAULT if record.task.in_own_queue else record.task.queue
        return await _go_on(hands, record, queue, json=json)


async def _go_on(hands: Hands, record: TaskRecord, queue: str, *, json: bool) -> int:
    """Make a task ready in a queue that others serve."""
    ready: TaskRecord = (await hands.storage.commit(Redo(task=record.id, queue=queue)))[0]
    return _tell(ready, f"{ready.state} in the queue {queue}; `autohands serve` works on it", json=json)


@command.command("signal")
@click.argument("task", shell_complete=complete.tasks)
@click.argument("topic")
@click.argument("payload", metavar="[JSON]", default="{}")
@click.option("--key", metavar="KEY", help="Once: the same key again does nothing more.")
@options.everywhere
def signal(task: str, *, json: bool, config: Path | None, **told: Any) -> int:
    """Tell a task what it waits for: a JSON object under TOPIC. It may come before the task waits."""
    return work.run(_signal(task, json=json, config=config, **told))


async def _signal(task: str, *, json: bool, config: Path | None, topic: str, payload: str, key: str | None) -> int:
    content = json_object(payload, "the payload")
    async with work.opened(config=config, serve=False) as hands:
        record = await hands.storage.task(task)
        if record.finished:
            raise Conflict(f"task {record.id} is {record.state}: nothing of it listens any more")
        if not topic:
            raise BadRequest("the topic is empty")
        await hands.storage.commit(Signal(task=record.id, topic=topic, payload=content, dedup=key))
        record = await hands.storage.task(record.id)
    return _tell(record, f"told {topic}; {record.state}", json=json)


def _tell(record: TaskRecord, what: str, *, json: bool) -> int:
    if json:
        show_json(summary(record))
    else:
        click.echo(f"{record.id}: {what}")
    return 0
