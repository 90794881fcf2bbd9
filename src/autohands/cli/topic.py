"""`autohands topic`: what programs tell each other."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import msgspec

from autohands.cli import complete, options, work
from autohands.cli.fail import DONE
from autohands.cli.lines import read_all
from autohands.cli.listing import minute, show_items, show_json, show_one, when
from autohands.cli.submit import json_object
from autohands.protocols.errors import RetryableError
from autohands.protocols.topics import Consume, Publication, Subscribe, Subscription

_MOST_BYTES = 1 << 20


def _timeout(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and (not math.isfinite(value) or value <= 0):
        raise click.BadParameter(f"{value} is no number of seconds", ctx, param)
    return value


@click.group("topic")
def command() -> None:
    """Topics: list, publish, subscribe, unsubscribe, request."""


@command.command("list")
@options.everywhere
def show_list(*, json: bool, config: Path | None) -> int:
    """Who subscribes to what, and how much they have still to read."""
    return work.run(_list(json=json, config=config))


async def _list(*, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        found = await hands.storage.topics.subscriptions()
    show_items(
        [_item(each) if json else {**_item(each), "since": minute(each.created)} for each in found],
        ("name", "pattern", "unread", "since"),
        json=json,
        none="nobody subscribes to anything: autohands topic subscribe PATTERN --name NAME",
    )
    return DONE


@command.command("publish")
@click.argument("topic")
@click.argument("payload", metavar="JSON")
@click.option("--key", metavar="KEY", help="Publish once: the same key again does nothing more.")
@options.everywhere
def publish(topic: str, payload: str, *, key: str | None, json: bool, config: Path | None) -> int:
    """Publish a JSON object, - reads it from standard input. Whoever subscribes to TOPIC gets it."""
    return work.run(_publish(topic, _object(payload), key=key, json=json, config=config))


async def _publish(topic: str, payload: dict[str, Any], *, key: str | None, json: bool, config: Path | None) -> int:
    async with work.opened(config=config) as hands:
        publication = await hands.tasks.publish(topic, payload, key=key)
    show_one(_told(publication), json=json)
    return DONE


@command.command("subscribe")
@click.argument("pattern")
@click.option("--name", required=True, metavar="NAME", help="Whose place it is; it stays until you unsubscribe.")
@click.option("--count", type=click.IntRange(min=0), metavar="N", help="End after so many; 0 only subscribes.")
@click.option("--timeout", type=float, metavar="S", callback=_timeout, help="End when nothing came for S seconds.")
@options.everywhere
def subscribe(
    pattern: str, *, name: str, count: int | None, timeout: float | None, json: bool, config: Path | None
) -> int:
    """Print what is published under topics that match PATTERN, a JSON object a line.

    In PATTERN * is one word, ** at its end any number of them. What is printed is dealt with, and does not come again.
    """
    return work.run(_subscribe(name, pattern, count, timeout, json=json, config=config))


async def _subscribe(
    name: str, pattern: str, count: int | None, timeout: float | None, *, json: bool, config: Path | None
) -> int:
    async with work.opened(config=config, serve=False) as hands:
        if count == 0:
            record: Subscription = (await hands.storage.commit(Subscribe(name=name, pattern=pattern)))[0]
            show_one(_item(record), json=json)
            return DONE
        printed = 0
        async with contextlib.aclosing(hands.tasks.subscribe(name, pattern)) as publications:
            while publication := await _next(publications, timeout):
                click.echo(msgspec.json.encode(_told(publication)))
                printed += 1
                if printed == count:
                    await hands.storage.commit(Consume(name=name, seq=publication.seq))
                    return DONE
    if count is None:
        return DONE
    raise RetryableError(f"{printed} of {count} came, and nothing more within {timeout:g} s")


async def _next(publications: AsyncIterator[Publication], seconds: float | None) -> Publication | None:
    """The next one, which says that the one before is dealt with; None when there is none for so long."""
    try:
        async with asyncio.timeout(seconds):
            return await anext(publications)
    except TimeoutError:
        return None


@command.command("unsubscribe")
@click.argument("name", shell_complete=complete.subscriptions)
@options.everywhere
def unsubscribe(name: str, *, json: bool, config: Path | None) -> int:
    """End a subscription, with what it has not read."""
    return work.run(_unsubscribe(name, json=json, config=config))


async def _unsubscribe(name: str, *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        await hands.tasks.unsubscribe(name)
    if json:
        show_json({"name": name})
    else:
        click.echo(f"{name}: ended")
    return DONE


@command.command("request")
@click.argument("topic")
@click.argument("payload", metavar="JSON")
@click.option("--timeout", type=float, metavar="S", callback=_timeout, default=30.0, show_default=True)
@click.option("--key", metavar="KEY", help="Ask once: the same key again gets the same answer.")
@options.everywhere
def request(topic: str, payload: str, *, timeout: float, key: str | None, json: bool, config: Path | None) -> int:
    """Publish a JSON object, - reads it from standard input, and print the first answer to it."""
    return work.run(_request(topic, _object(payload), timeout, key=key, json=json, config=config))


async def _request(
    topic: str, payload: dict[str, Any], timeout: float, *, key: str | None, json: bool, config: Path | None
) -> int:
    async with work.opened(config=config) as hands:
        answer = await hands.tasks.request(topic, payload, timeout_seconds=timeout, key=key)
    show_one(answer, json=json)
    return DONE


def _object(text: str) -> dict[str, Any]:
    """A payload from its JSON. Raises `BadRequest`, which says what is wrong with it."""
    return json_object(read_all(_MOST_BYTES) if text == "-" else text, "the payload")


def _item(each: Subscription) -> dict[str, Any]:
    return {
        "name": each.name,
        "pattern": each.pattern,
        "unread": each.unread,
        "unread_bytes": each.unread_bytes,
        "cursor": each.cursor,
        "created": when(each.created),
    }


def _told(publication: Publication) -> dict[str, Any]:
    return {
        "seq": publication.seq,
        "topic": publication.topic,
        "payload": publication.payload,
        **({"reply_to": publication.reply_to} if publication.reply_to else {}),
        "created": when(publication.created),
    }
