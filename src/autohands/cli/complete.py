"""What a shell completes: the ids and names of what is there. Where nothing can be read nothing is completed."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import click
from click.shell_completion import CompletionItem

from autohands.cli import work
from autohands.cli.paper import fitting
from autohands.config.paths import home_directory
from autohands.protocols.errors import AutoHandsError

if TYPE_CHECKING:
    from autohands.hands import Hands

Named: TypeAlias = Sequence[tuple[str, str]]
Completion: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_MOST = 200
_WORDS = 60


def _completing(read: Callable[[Hands], Awaitable[Named]]) -> Completion:
    """Completes what `read` finds: names, each with a word on what it is."""

    async def found(ctx: click.Context) -> Named:
        async with work.looking(config=ctx.params.get("config")) as hands:
            return await read(hands)

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        import asyncio

        try:
            known = asyncio.run(found(ctx)) if home_directory(os.environ).exists() else ()
        except (AutoHandsError, OSError):
            return []
        return [
            CompletionItem(name, help=fitting(" ".join(what.split()), _WORDS))
            for name, what in known
            if name.startswith(incomplete)
        ]

    return complete


async def _tasks(hands: Hands) -> Named:
    return [(task.id, f"{task.state}: {task.task.prompt}") for task in await hands.storage.tasks(limit=_MOST)]


async def _sessions(hands: Hands) -> Named:
    found = await hands.storage.sessions(limit=_MOST)
    return [(session.name or session.id, session.title or "") for session in found]


async def _schedules(hands: Hands) -> Named:
    found = await hands.storage.schedules.all()
    return [(each.schedule.name, f"{each.schedule.when}: {each.schedule.task.prompt}") for each in found]


async def _approvals(hands: Hands) -> Named:
    return [(each.id, f"{each.tool}: {each.preview}") for each in await hands.storage.approvals(pending=True)]


async def _messages(hands: Hands) -> Named:
    found = await hands.storage.outbox.all(states=(), limit=_MOST)
    return [(each.id, f"{each.state}: {each.text}") for each in found]


async def _subscriptions(hands: Hands) -> Named:
    return [(each.name, each.pattern) for each in await hands.storage.topics.subscriptions()]


tasks = _completing(_tasks)
sessions = _completing(_sessions)
schedules = _completing(_schedules)
approvals = _completing(_approvals)
messages = _completing(_messages)
subscriptions = _completing(_subscriptions)
