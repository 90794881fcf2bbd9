"""`autohands outbox`: messages on their way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from autohands.cli import complete, options, work
from autohands.cli.listing import minute, show_items, show_one, when
from autohands.cli.paper import fitting
from autohands.protocols.outbox import MESSAGE_STATES, DecideMessage, MessageRecord, MessageState

_TEXT_COLUMNS = 60


@click.group("outbox")
def command() -> None:
    """Messages on their way out: list, show, send, drop. An id may be cut to a unique beginning."""


@command.command("list")
@click.option("--state", multiple=True, type=click.Choice(MESSAGE_STATES), help="Only those; may be repeated.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@options.everywhere
def show_list(*, state: tuple[MessageState, ...], limit: int, json: bool, config: Path | None) -> int:
    """Messages, newest first."""
    return work.run(_list(state, limit, json=json, config=config))


async def _list(states: tuple[MessageState, ...], limit: int, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        messages = await hands.storage.outbox.all(states=states, limit=limit)
    show_items(
        [_brief(message) if json else _line(message) for message in messages],
        ("id", "state", "address", "attempt", "created", "text", "error"),
        json=json,
        none="no messages",
    )
    return 0


@command.command("show")
@click.argument("message", shell_complete=complete.messages)
@options.everywhere
def show(message: str, *, json: bool, config: Path | None) -> int:
    """One message: what it says, where it goes, what became of it."""
    return work.run(_show(message, json=json, config=config))


async def _show(message: str, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        show_one(_brief(await hands.storage.outbox.get(message)), json=json)
    return 0


@command.command("send")
@click.argument("message", shell_complete=complete.messages)
@options.everywhere
def send(message: str, *, json: bool, config: Path | None) -> int:
    """Send a message that is held or dead after all, or one that waits at once."""
    return work.run(_decide(message, send=True, json=json, config=config))


@command.command("drop")
@click.argument("message", shell_complete=complete.messages)
@options.everywhere
def drop(message: str, *, json: bool, config: Path | None) -> int:
    """Give a message up: it is not sent, and the next one of its thread is."""
    return work.run(_decide(message, send=False, json=json, config=config))


async def _decide(message: str, *, send: bool, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        (record,) = await hands.storage.commit(DecideMessage(message=message, send=send))
    if json:
        show_one(_brief(record), json=True)
    else:
        click.echo(f"{record.id} is {record.state}" + (": the serving program sends it" if send else ""))
    return 0


def _brief(message: MessageRecord) -> dict[str, Any]:
    return {
        "id": message.id,
        "state": message.state,
        "address": message.address,
        "text": message.text,
        "images": [image.sha256 for image in message.images],
        "key": message.key,
        "task": message.task,
        "attempt": message.attempt,
        "doubtful": message.doubtful,
        "labelled": message.labelled,
        "receipt": message.receipt,
        "error": message.error,
        "created": when(message.created),
        "updated": when(message.updated),
        **({"due": when(message.send_at)} if message.state == "pending" else {}),
    }


def _line(message: MessageRecord) -> dict[str, Any]:
    """A message in a table."""
    short = fitting(" ".join(message.text.split()), _TEXT_COLUMNS)
    return {**_brief(message), "text": short, "created": minute(message.created)}
