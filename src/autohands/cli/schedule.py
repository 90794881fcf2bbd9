"""`autohands schedule`: work at set times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct
from msgspec.structs import replace

from autohands.cli import complete, options, work
from autohands.cli.cost import forecasts
from autohands.cli.listing import minute, show_items, show_json, show_one
from autohands.cli.timetable import foreseen, in_words, on_its_clock, outcome, summary, told
from autohands.protocols.changes import Change
from autohands.protocols.errors import BadRequest
from autohands.protocols.schedule import (
    CatchUp,
    Kind,
    Occurrence,
    Overlap,
    PauseSchedule,
    RemoveSchedule,
    ResumeSchedule,
    Schedule,
    ScheduleRecord,
)
from autohands.protocols.task import Task

if TYPE_CHECKING:
    from autohands.hands import Hands

UNSERVED = "nothing fires it yet: start `autohands serve`"


@click.group("schedule")
def command() -> None:
    """Work at set times: list, show, add, remove, pause, resume, history, run, preview.

    `autohands serve` does it.
    """


class Given(Struct, frozen=True, kw_only=True):
    """What `add` was given."""

    name: str
    words: tuple[str, ...]
    prompt: str | None
    cron: str | None
    every: str | None
    at: str | None
    timezone: str | None
    catch_up: CatchUp
    catch_up_most: int
    overlap: Overlap
    jitter: str | None
    max_failures: int
    agent: str | None
    model: str | None
    session: str | None
    workspace: Path | None
    reply_to: str | None
    max_turns: int | None
    budget: float | None
    yes: bool
    replace: bool

    def schedule(self, workspace: Path) -> Schedule:
        """The schedule it describes.

        Raises:
            BadRequest: Its time, its jitter or its zone makes no sense. UsageError: Something is missing or said twice.
        """
        from autohands.runloop.when import duration
        from autohands.runloop.zones import local_zone

        kind, when = self._when()
        if (self.prompt is None) == (not self.words):
            raise click.UsageError('say what to do: --prompt TEXT, or -- "TEXT"')
        return Schedule(
            name=self.name,
            kind=kind,
            when=when,
            timezone=self.timezone or local_zone(),
            catch_up=self.catch_up,
            catch_up_most=self.catch_up_most,
            overlap=self.overlap,
            jitter_seconds=duration(self.jitter) if self.jitter else 0.0,
            max_failures=self.max_failures,
            task=self._task(workspace),
        )

    def _when(self) -> tuple[Kind, str]:
        from autohands.runloop.when import instant

        kinds: tuple[tuple[Kind, str | None], ...] = (("cron", self.cron), ("interval", self.every), ("once", self.at))
        given = [(kind, when) for kind, when in kinds if when is not None]
        if len(given) != 1:
            raise click.UsageError("say when: one of --cron, --every and --at")
        if self.at is not None:
            instant(self.at, self.timezone)  # the zone of this machine is not taken for granted where a date is named
        return given[0]

    def _task(self, workspace: Path) -> Task:
        return Task(
            prompt=" ".join(self.words) if self.prompt is None else self.prompt,
            agent=self.agent or "",
            model=self.model,
            session=self.session,
            workspace=str(workspace),
            reply_address=self.reply_to,
            max_turns=self.max_turns,
            budget_micro_usd=None if self.budget is None else round(self.budget * 1_000_000),
            consent="workspace" if self.yes else "ask",
            source="schedule",
        )


@command.command("add")
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[PROMPT]...")
@click.option("--prompt", metavar="TEXT", help="What to do; or say it after the name.")
@click.option("--cron", metavar="EXPR", help="When: minute hour day-of-month month day-of-week, or @daily.")
@click.option("--every", metavar="TIME", help="Or at an interval: 90s, 15m, 6h, 1d.")
@click.option("--at", metavar="TIME", help="Or once: 2027-01-31T09:00:00+01:00.")
@click.option("--timezone", metavar="ZONE", help="Whose clock, as Europe/Berlin; default: this machine's.")
@click.option(
    "--catch-up",
    type=click.Choice(["skip", "once", "all"]),
    default="once",
    show_default=True,
    help="Times that were missed: none, the last, or the last --catch-up-most.",
)
@click.option("--catch-up-most", type=int, default=10, metavar="N", show_default=True, help="How many `all` makes up.")
@click.option(
    "--overlap",
    type=click.Choice(["forbid", "queue", "allow"]),
    default="forbid",
    show_default=True,
    help="The last one has not ended: leave this one out, let it wait, or run both.",
)
@click.option("--jitter", metavar="TIME", help="Put each start off by up to this: 30s, 5m.")
@click.option("--max-failures", type=int, default=5, metavar="N", show_default=True, help="In a row: pause. 0: never.")
@options.reply_to
@click.option("--replace", is_flag=True, help="In the place of one of that name.")
@options.work
@options.everywhere
def add(*, json: bool, config: Path | None, record: Path | None, **given: Any) -> int:
    """Have something done at set times. It works in --workspace, by default here."""
    if record is not None:
        raise click.UsageError("what a schedule does is not recorded: leave --record out")
    return work.run(_add(Given(**given), json=json, config=config))


async def _add(given: Given, *, json: bool, config: Path | None) -> int:
    from autohands.runloop.schedules import plan

    async with work.opened(config=config, workspace=given.workspace, serve=False) as hands:
        change = plan(given.schedule(hands.workspace), replacing=given.replace)
        if change.next_at is None:
            raise BadRequest(f"{change.schedule.when} is over", hint="name a time to come")
        record: ScheduleRecord = (await hands.storage.commit(change))[0]
        served = _is_served(hands)
        expected = (await forecasts(hands.storage)).get(record.schedule.name)
    if json:
        show_json({**summary(record), "served": served, "forecast": foreseen(expected)})
        return 0
    click.echo(f"{record.schedule.name}: due {on_its_clock(record)}")
    click.echo(in_words(expected))
    if not served:
        click.echo(UNSERVED, err=True)
    return 0


def _is_served(hands: Hands) -> bool:
    from autohands.daemon.lock import NAME, holder

    return holder(hands.paths.run / NAME) is not None


@command.command("list")
@options.everywhere
def show_list(*, json: bool, config: Path | None) -> int:
    """Schedules: when they are due next, and what became of the last time."""
    return work.run(_list(json=json, config=config))


async def _list(*, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        records = await hands.storage.schedules.all()
        last = [await hands.storage.schedules.history(record.schedule.name, 1) for record in records]
    pairs = zip(records, last, strict=True)
    items = [{**summary(record), "last": _last(done, json=json)} for record, done in pairs]
    if not json:
        items = [{**item, "next": minute(record.next_at)} for item, record in zip(items, records, strict=True)]
    show_items(
        items, ("name", "when", "next", "last", "state"), json=json, none="no schedules yet: autohands schedule add"
    )
    return 0


def _last(history: list[Occurrence], *, json: bool) -> Any:
    if not history:
        return None
    return told(history[0]) if json else f"{minute(history[0].at)} {outcome(history[0])}"


@command.command("show")
@click.argument("name", shell_complete=complete.schedules)
@options.everywhere
def show(name: str, *, json: bool, config: Path | None) -> int:
    """One schedule with everything it says."""
    return work.run(_show(name, json=json, config=config))


async def _show(name: str, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        record = await hands.storage.schedules.get(name)
    show_one(summary(record), json=json)
    return 0


@command.command("history")
@click.argument("name", shell_complete=complete.schedules)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@options.everywhere
def history(name: str, *, limit: int, json: bool, config: Path | None) -> int:
    """What became of a schedule's times, newest first."""
    return work.run(_history(name, limit, json=json, config=config))


async def _history(name: str, limit: int, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        found = await hands.storage.schedules.history(name, limit)
    items = [told(each) | ({} if json else {"at": minute(each.at), "outcome": outcome(each)}) for each in found]
    show_items(items, ("at", "outcome", "task", "reason"), json=json, none=f"{name} has not been due yet")
    return 0


@command.command("pause")
@click.argument("name", shell_complete=complete.schedules)
@options.everywhere
def pause(name: str, *, json: bool, config: Path | None) -> int:
    """Let a schedule rest: its times pass without a trace."""
    return work.run(_change(name, lambda _: PauseSchedule(name=name, reason="by owner"), json=json, config=config))


@command.command("resume")
@click.argument("name", shell_complete=complete.schedules)
@options.everywhere
def resume(name: str, *, json: bool, config: Path | None) -> int:
    """Let a schedule go on: one that rests, that failed too often, or that waits to be confirmed."""

    def resumed(record: ScheduleRecord) -> Change:
        from autohands.runloop.schedules import plan

        return ResumeSchedule(name=name, next_at=plan(record.schedule).next_at)

    return work.run(_change(name, resumed, json=json, config=config))


async def _change(name: str, change: Callable[[ScheduleRecord], Change], *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        known = await hands.storage.schedules.get(name)
        record: ScheduleRecord = (await hands.storage.commit(change(known)))[0]
    if json:
        show_one(summary(record), json=True)
    else:
        due = f", due {on_its_clock(record)}" if record.state == "active" else ""
        click.echo(f"{name}: {record.state}{due}")
    return 0


@command.command("remove")
@click.argument("name", shell_complete=complete.schedules)
@options.everywhere
def remove(name: str, *, json: bool, config: Path | None) -> int:
    """Delete a schedule with its history; tasks that it made stay."""
    return work.run(_remove(name, json=json, config=config))


async def _remove(name: str, *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        record = await hands.storage.schedules.get(name)
        await hands.storage.commit(RemoveSchedule(name=name))
    if json:
        show_one(summary(record), json=True)
    else:
        click.echo(f"{name}: removed")
        if record.schedule.origin == "config":
            click.echo(
                f"it comes back with [schedules.{name}] of the configuration; enabled = false stops it", err=True
            )
    return 0


@command.command("run")
@click.argument("name", shell_complete=complete.schedules)
@options.everywhere
def run(name: str, *, json: bool, config: Path | None) -> int:
    """Do now what a schedule does, besides its times."""
    return work.run(_run(name, json=json, config=config))


async def _run(name: str, *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config) as hands:
        record = await hands.storage.schedules.get(name)
        task = await hands.tasks.submit(replace(record.schedule.task, id="", source="schedule"))
        served = _is_served(hands)
    if json:
        show_one({"schedule": name, "task": task.id, "state": task.state, "served": served}, json=True)
        return 0
    click.echo(task.id)
    if not served:
        click.echo(f"it waits for `autohands serve`; `autohands task resume {task.id}` does it here", err=True)
    return 0


@command.command("preview")
@click.argument("expression", metavar="EXPR")
@click.option("--timezone", metavar="ZONE", help="Whose clock, as Europe/Berlin; default: this machine's.")
@click.option("--after", metavar="TIME", help="From when on, in ISO 8601; default: now.")
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, metavar="N")
@options.everywhere
def preview(
    expression: str, *, timezone: str | None, after: str | None, count: int, json: bool, config: Path | None
) -> int:
    """The next times of a cron expression, on the clock of a zone."""
    from autohands.runloop.cron import Cron
    from autohands.runloop.when import instant
    from autohands.runloop.zones import zone
    from autohands.sdk.identity import now_ms

    cron = Cron(expression, timezone)
    time = now_ms() if after is None else instant(after, cron.timezone)
    found: list[str] = []
    while len(found) < count and (following := cron.next_after(time)) is not None:
        time = following
        found.append(datetime.fromtimestamp(time / 1000, zone(cron.timezone)).isoformat())
    if json:
        show_json({"occurrences": found})
    else:
        click.echo("\n".join(found))
    return 0
