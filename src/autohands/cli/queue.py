"""`autohands queue`: what waits where, and the limits of queues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from autohands.cli import options, work
from autohands.cli.listing import minute, show_items, when
from autohands.protocols.queues import QueueLimits, QueueStatus

_COLUMNS = ("queue", "ready", "running", "waiting", "paused", "blocked", "delayed", "limits", "oldest")


@click.group("queue")
def command() -> None:
    """Queues: list. Their limits stand in the configuration, under [queues.NAME]."""


@command.command("list")
@options.everywhere
def show_list(*, json: bool, config: Path | None) -> int:
    """What stands in each queue, and its limits."""
    return work.run(_list(json=json, config=config))


async def _list(*, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        found = await hands.storage.queues.all()
    rows = [{**_counts(each), **(_machine(each) if json else _table(each))} for each in found]
    show_items(rows, _COLUMNS, json=json, none="nothing waits, and no queue has limits")
    return 0


def _counts(status: QueueStatus) -> dict[str, Any]:
    names = ("ready", "running", "waiting", "paused", "blocked", "delayed")
    return {"queue": status.limits.name} | {name: getattr(status, name) for name in names}


def _machine(status: QueueStatus) -> dict[str, Any]:
    limits = status.limits
    return {
        "concurrency": limits.concurrency,
        "rate": limits.rate,
        "period_seconds": limits.period_seconds,
        "depth": limits.depth,
        "oldest": when(status.oldest),
    }


def _table(status: QueueStatus) -> dict[str, Any]:
    return {"limits": describe(status.limits), "oldest": minute(status.oldest)}


def describe(limits: QueueLimits) -> str:
    """Limits in words; the depth only where it is not the ordinary one."""
    parts = []
    if limits.concurrency is not None:
        parts.append(f"{limits.concurrency} at once")
    if limits.rate is not None:
        parts.append(f"{limits.rate} in {limits.period_seconds:g} s")
    if limits.depth != QueueLimits(name="").depth:
        parts.append("any number waits" if limits.depth is None else f"{limits.depth} wait")
    return ", ".join(parts)
