"""What the configuration says about a program that serves, as the values and parts it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from autohands.config import Loaded
from autohands.config.schema import Config, Subscription, Watch
from autohands.config.schema import Schedule as Entry
from autohands.hands import Hands
from autohands.protocols.channel import Channel
from autohands.protocols.errors import BadRequest, ConfigError
from autohands.protocols.loop import BACKGROUND, Source
from autohands.protocols.queues import QueueLimits
from autohands.protocols.schedule import Kind, Schedule
from autohands.protocols.task import Task
from autohands.runloop.courier import Courier
from autohands.runloop.heartbeat import Heartbeat
from autohands.runloop.loop import RunLoop
from autohands.runloop.mailbox import Mailbox
from autohands.runloop.subscriptions import TopicSource
from autohands.runloop.watch import FolderWatch
from autohands.runloop.zones import local_zone


class Piece(Struct, frozen=True):
    """A part of the run loop: how it is put there, and what it was made from. As long as that is equal, it stays."""

    made_from: object
    put: Callable[[RunLoop], None]


def pieces(hands: Hands, config: Config) -> dict[str, Piece]:
    """What goes into the run loop, by name.

    Raises:
        ConfigError: A pattern of a watched folder is none.
    """
    found = {f"watch.{name}": _watch(hands, config, name, each) for name, each in config.watch.items() if each.enabled}
    found |= {f"topic.{name}": _topic(hands, config, name, each) for name, each in config.subscriptions.items()}
    found["courier"] = _courier(hands, config)
    if config.heartbeat.prompt:
        found["heartbeat"] = _heartbeat(hands, config)
    return found


def mailboxes(channels: Mapping[str, Channel]) -> dict[str, Piece]:
    """The mailboxes of channels, by name."""
    named = {f"channel.{name}": (name, channel) for name, channel in channels.items()}
    return {key: _heard(key, id(channel), Mailbox(name, channel)) for key, (name, channel) in named.items()}


def _heard(name: str, made_from: object, source: Source) -> Piece:
    return Piece(made_from, lambda loop: loop.add_source(name, source))


def _watch(hands: Hands, config: Config, name: str, entry: Watch) -> Piece:
    task = _task(entry, config, hands.workspace)
    try:
        source = FolderWatch(
            name,
            _directory(entry.path, hands.workspace),
            task=task,
            patterns=entry.patterns,
            ignore=entry.ignore,
            debounce_seconds=entry.debounce_seconds,
        )
    except BadRequest as error:
        raise ConfigError(f"watch.{name}: {error.text}", hint=error.hint) from error
    return _heard(f"watch.{name}", (entry, task), source)


def _topic(hands: Hands, config: Config, name: str, entry: Subscription) -> Piece:
    task = _task(entry, config, hands.workspace)
    return _heard(f"topic.{name}", (entry, task), TopicSource(hands.tasks, name, entry.topic, task=task))


def _task(entry: Watch | Subscription, config: Config, workspace: Path) -> Task:
    agent = entry.agent or config.agent
    return Task(prompt=entry.prompt, agent=agent, session=entry.session, workspace=str(workspace))


def _courier(hands: Hands, config: Config) -> Piece:
    outbox = config.outbox
    courier = Courier(
        hands.storage, hands.channels, doubtful=outbox.doubtful, attempts=outbox.attempts, stopped=lambda: hands.stopped
    )
    return Piece(outbox, lambda loop: loop.add_service("courier", courier.run))


def _heartbeat(hands: Hands, config: Config) -> Piece:
    entry = config.heartbeat
    task = Task(
        prompt=entry.prompt or "",
        session=entry.session,
        queue=BACKGROUND,
        agent=config.agent,
        workspace=str(hands.workspace),
    )
    beats = Heartbeat(hands.tasks, hands.storage, task)
    return Piece((entry, task), lambda loop: loop.add_timer(beats.timer(entry.every_seconds)))


def queue_limits(config: Config) -> tuple[QueueLimits, ...]:
    """The limits of queues."""
    return tuple(
        QueueLimits(
            name=name,
            concurrency=queue.concurrency,
            rate=queue.rate,
            period_seconds=queue.period_seconds,
            depth=queue.depth,
        )
        for name, queue in config.queues.items()
    )


def schedules(config: Config, workspace: Path) -> list[Schedule]:
    """The schedules, enabled or not.

    Raises:
        ConfigError: One says none or several of `cron`, `every` and `at`.
    """
    return [_schedule(name, entry, workspace) for name, entry in config.schedules.items()]


def _schedule(name: str, entry: Entry, workspace: Path) -> Schedule:
    kinds: dict[Kind, str | None] = {"cron": entry.cron, "interval": entry.every, "once": entry.at}
    given = [(kind, when) for kind, when in kinds.items() if when is not None]
    if len(given) != 1:
        raise ConfigError(f"schedules.{name}: say one of cron, every and at")
    kind, when = given[0]
    return Schedule(
        name=name,
        kind=kind,
        when=when,
        timezone=entry.timezone or local_zone(),
        catch_up=entry.catch_up,
        catch_up_most=entry.catch_up_most,
        overlap=entry.overlap,
        jitter_seconds=entry.jitter_seconds,
        max_failures=entry.max_failures,
        origin="config",
        task=Task(
            prompt=entry.prompt,
            agent=entry.agent or "",
            model=entry.model,
            session=entry.session,
            workspace=str(_directory(entry.workspace, workspace)),
            reply_address=entry.reply_to,
            source="schedule",
        ),
    )


def located(text: str, loaded: Loaded) -> str:
    """Problems, one a line, that each begin with a key: with the place where it stands before it."""
    file, placed = loaded.file, []
    for problem in text.splitlines():
        line = file.lines.find(tuple(problem.partition(":")[0].split(".")))
        placed.append(f"{file.path}:{line}: {problem}" if line else problem)
    return "\n".join(placed)


def _directory(path: str | None, workspace: Path) -> Path:
    return (workspace / Path(path).expanduser()).resolve() if path else workspace
