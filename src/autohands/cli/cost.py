"""`autohands cost`: what was spent, what is put aside, what is to be expected."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from msgspec import Struct

from autohands.cli import options, work
from autohands.cli.listing import show_items, show_json
from autohands.protocols.costs import By, Cost

if TYPE_CHECKING:
    from autohands.protocols.storage import Storage
    from autohands.runloop.forecast import Forecast

MICRO = 1_000_000
BAR_COLUMNS = 24
EVER = "0000-01-01"
_MONTH_DAYS = 30
_COLUMNS = ("runs", "calls", "tokens", "spent", "reserved", "forecast")


class Row(Struct, frozen=True):
    """What one thing has cost, and what it is expected to cost in micro-USD, if that is known."""

    cost: Cost
    forecast: int | None = None


@click.command("cost")
@click.option(
    "--by",
    type=click.Choice(["day", "agent", "model", "session", "schedule"]),
    default="day",
    show_default=True,
    help="What the costs are told apart by.",
)
@click.option("--since", default="30d", show_default=True, metavar="TIME", help="A UTC day, or how long back: 7d.")
@options.everywhere
def command(*, by: str, since: str, json: bool, config: Path | None) -> int:
    """What model calls have cost, what is put aside for those under way, and what 30 days come to.

    The forecast of a schedule is its times in the next 30 days times the mean of its earlier runs; that of today adds
    what schedules will do until midnight (UTC); all others go on as they did since TIME.
    """
    return work.run(_cost(cast("By", by), since, json=json, config=config))


async def _cost(by: By, since: str, *, json: bool, config: Path | None) -> int:
    today = datetime.now(UTC).date()
    first = _first_day(since, today)
    async with work.looking(config=config) as hands:
        rows = await rows_of(hands.storage, by, first, today)
        days = await hands.storage.costs("day", first.isoformat())
    total = _total(days, first, today)
    if json:
        show_json({"items": [_machine(by, row) for row in rows], "total": _machine("total", total)})
        return 0
    _show(by, rows)
    if rows:
        click.echo(_summary(total, first), err=True)
    return 0


def _first_day(since: str, today: date) -> date:
    from autohands.runloop.when import duration

    if since[-1:] in "smhd" and since[:1].isdigit():
        return today - timedelta(seconds=duration(since))
    try:
        return date.fromisoformat(since)
    except ValueError:
        raise click.BadParameter(
            f"{since!r} is no day as 2027-01-31, and no time as 7d", param_hint="--since"
        ) from None


async def rows_of(storage: Storage, by: By, first: date, today: date) -> list[Row]:
    """What each has cost since a day, with what is expected of it."""
    found = await storage.costs(by, first.isoformat())
    if by == "day":
        return await _days(storage, found, today)
    if by == "schedule":
        return await _schedules(storage, found)
    days = await storage.costs("day", first.isoformat())
    return [Row(cost, _at_this_pace(cost, days, first, today)) for cost in found]


async def _days(storage: Storage, found: Sequence[Cost], today: date) -> list[Row]:
    """Each day from the first on which anything was spent; of today also what schedules will do."""
    if not found:
        return []
    known, day, rows = {cost.key: cost for cost in found}, date.fromisoformat(found[0].key), list[Row]()
    while day <= today:
        cost = known.get(day.isoformat(), Cost(key=day.isoformat()))
        rows.append(Row(cost, cost.spent + cost.reserved + await _due_today(storage) if day == today else None))
        day += timedelta(days=1)
    return rows


async def _due_today(storage: Storage) -> int:
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    until = round(midnight.timestamp() * 1000) - 1
    return sum(each.micro_usd or 0 for each in (await forecasts(storage, until)).values())


async def forecasts(storage: Storage, until: int | None = None) -> dict[str, Forecast]:
    """What each schedule will cost until a time (UTC ms), without one in 30 days. One that cannot be read is left
    out."""
    from autohands.protocols.errors import BadRequest
    from autohands.runloop.forecast import forecast
    from autohands.sdk.identity import now_ms

    past = {cost.key: cost for cost in await storage.costs("schedule", EVER)}
    expected = {}
    for record in await storage.schedules.all():
        try:
            expected[record.schedule.name] = forecast(record, past.get(record.schedule.name), now_ms(), until)
        except BadRequest:
            continue
    return expected


async def _schedules(storage: Storage, found: Sequence[Cost]) -> list[Row]:
    """Schedules that have run, what belongs to none, and schedules that have not run yet."""
    expected = await forecasts(storage)
    idle = [Cost(key=name) for name in sorted(expected.keys() - {cost.key for cost in found})]
    return [Row(cost, expected[cost.key].micro_usd if cost.key in expected else None) for cost in [*found, *idle]]


def _at_this_pace(cost: Cost, days: Sequence[Cost], first: date, today: date) -> int:
    """What 30 days come to if it goes on as since the first day on which anything was spent."""
    begun = max(first, date.fromisoformat(days[0].key)) if days else today
    return (cost.spent + cost.reserved) * _MONTH_DAYS // max((today - begun).days + 1, 1)


def _total(days: Sequence[Cost], first: date, today: date) -> Row:
    total = Cost(
        key="",
        spent=sum(each.spent for each in days),
        reserved=sum(each.reserved for each in days),
        calls=sum(each.calls for each in days),
        tokens=sum(each.tokens for each in days),
    )
    return Row(total, _at_this_pace(total, days, first, today))


def usd(micro_usd: int | None) -> float | None:
    """Micro-USD in USD."""
    return None if micro_usd is None else micro_usd / MICRO


def _machine(by: str, row: Row) -> dict[str, Any]:
    cost = row.cost
    named = {} if by == "total" else {by: cost.key, "runs": cost.runs}
    money = {"spent_usd": usd(cost.spent), "reserved_usd": usd(cost.reserved), "forecast_usd": usd(row.forecast)}
    return {**named, "calls": cost.calls, "tokens": cost.tokens, **money}


def _show(by: str, rows: Sequence[Row]) -> None:
    from autohands.cli.plot import bar, shows_blocks

    most = max((row.cost.spent + row.cost.reserved for row in rows), default=0)
    blocks, plotted = shows_blocks(sys.stdout), sys.stdout.isatty()
    items = [
        {
            by: row.cost.key or "(none)",
            "plot": bar(row.cost.spent + row.cost.reserved, most, BAR_COLUMNS, blocks=blocks),
            "runs": row.cost.runs,
            "calls": row.cost.calls,
            "tokens": row.cost.tokens,
            "spent": _money(row.cost.spent),
            "reserved": _money(row.cost.reserved),
            "forecast": _money(row.forecast),
        }
        for row in rows
    ]
    columns = (by, *(("plot",) if plotted else ()), *_COLUMNS)
    show_items(items, columns, json=False, none="nothing was spent")


def _money(micro_usd: int | None) -> str:
    return "" if micro_usd is None else f"{micro_usd / MICRO:.4f}"


def _summary(total: Row, first: date) -> str:
    cost = total.cost
    return (
        f"since {first}: {_money(cost.spent)} USD spent, {_money(cost.reserved)} put aside; "
        f"at this pace {_money(total.forecast)} in {_MONTH_DAYS} days"
    )
