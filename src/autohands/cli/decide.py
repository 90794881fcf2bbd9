"""`autohands task decide`: what became of a call that was interrupted, said by a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from autohands.cli import complete, options, work
from autohands.cli.brief import summary
from autohands.cli.listing import show_json
from autohands.protocols.changes import DecideStep
from autohands.protocols.errors import BadRequest
from autohands.protocols.task import TaskRecord
from autohands.protocols.tool import ToolResult


@click.command("decide")
@click.argument("task", shell_complete=complete.tasks)
@click.argument("decision", type=click.Choice(("retry", "done", "skip", "cancel")))
@click.option("--turn", type=click.IntRange(min=1), metavar="N", help="Which call, if several wait.")
@click.option("--index", type=click.IntRange(min=1), metavar="N", help="Which call of its turn.")
@click.option("--result", metavar="JSON", help='With done: what it returned, a text or {"text": …, "failed": …}.')
@options.everywhere
def decide(task: str, *, json: bool, config: Path | None, **said: Any) -> int:
    """Say what became of a call that had begun when the program stopped, before the model has read of it.

    retry lets it begin once more, done says that it has happened, skip goes on without it, cancel ends the task.
    """
    return work.run(_decide(task, json=json, config=config, **said))


async def _decide(task: str, *, json: bool, config: Path | None, result: str | None, **said: Any) -> int:
    value = None if result is None else _result(result)
    async with work.opened(config=config, serve=False) as hands:
        named = (await hands.storage.task(task)).id
        change = DecideStep(task=named, by="owner", result=value, **said)
        record: TaskRecord = (await hands.storage.commit(change))[0]
    if json:
        show_json(summary(record))
    else:
        click.echo(f"{record.id}: {record.state}{_next(record)}")
    return 0


def _next(record: TaskRecord) -> str:
    """Who takes it up from here."""
    if record.finished:
        return "" if record.state == "cancelled" else f"; take it up: autohands task retry {record.id}"
    if record.task.in_own_queue:
        return f"; take it up: autohands task resume {record.id}"
    return "; it goes on where its queue is served"


def _result(text: str) -> ToolResult:
    """What a person says that a call returned. Raises `BadRequest`."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(f"--result is no JSON: {error}", hint='write a text in quotes, or {"text": "…"}') from None
    if isinstance(value, str):
        return ToolResult(value)
    if isinstance(value, dict) and "text" not in value:
        return ToolResult(msgspec.json.encode(value).decode(), data=value)
    try:
        return msgspec.convert(value, ToolResult)
    except msgspec.ValidationError as error:
        raise BadRequest(f"--result: {error}", hint='write a text in quotes, or {"text": "…"}') from None
