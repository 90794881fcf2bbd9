"""`autohands webhook`: what others deliver."""

from __future__ import annotations

from pathlib import Path

import click

from autohands.cli import options, work
from autohands.cli.brief import summary
from autohands.cli.lines import read_all
from autohands.cli.listing import show_items, show_one
from autohands.cli.submit import json_object

_MOST_BYTES = 1 << 20


@click.group("webhook")
def command() -> None:
    """Webhooks of the configuration, `[webhooks.NAME]`: list, deliver."""


@command.command("list")
@options.everywhere
def show_list(*, json: bool, config: Path | None) -> int:
    """The webhooks that are configured."""
    return work.run(_list(json=json, config=config))


async def _list(*, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        rows = [
            {"name": name, "agent": each.agent, "session": each.session, "prompt": each.prompt}
            for name, each in hands.config.webhooks.items()
        ]
    show_items(
        rows, ("name", "agent", "session", "prompt"), json=json, none="no webhooks: [webhooks.NAME] in config.toml"
    )
    return 0


@command.command("deliver")
@click.argument("name")
@click.argument("payload")
@click.option("--id", "delivery", required=True, help="The delivery's id: the same one again is the same task.")
@options.everywhere
def deliver(name: str, payload: str, delivery: str, *, json: bool, config: Path | None) -> int:
    """Hand in what webhook NAME would deliver: PAYLOAD, a JSON object (- reads it). `autohands serve` works on it."""
    text = read_all(_MOST_BYTES) if payload == "-" else payload
    return work.run(_deliver(name, json_object(text, "the payload"), delivery, json=json, config=config))


async def _deliver(name: str, payload: dict[str, object], delivery: str, *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        record = await hands.deliver(name, delivery, payload)
    if json:
        show_one(summary(record), json=True)
    else:
        click.echo(record.id)
    return 0
