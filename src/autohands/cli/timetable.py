"""Schedules and their times as lists show them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from autohands.cli.listing import when
from autohands.protocols.schedule import Occurrence, ScheduleRecord

if TYPE_CHECKING:
    from autohands.runloop.forecast import Forecast


def summary(record: ScheduleRecord) -> dict[str, Any]:
    """A schedule with everything it says."""
    schedule, task = record.schedule, record.schedule.task
    return {
        "name": schedule.name,
        "state": record.state,
        "reason": record.reason,
        "kind": schedule.kind,
        "when": schedule.when,
        "timezone": schedule.timezone,
        "next": when(record.next_at),
        "failures": record.failures,
        "waits_until": when(record.backoff_until),
        "catch_up": schedule.catch_up,
        "catch_up_most": schedule.catch_up_most,
        "overlap": schedule.overlap,
        "jitter_seconds": schedule.jitter_seconds,
        "max_failures": schedule.max_failures,
        "origin": schedule.origin,
        "prompt": task.prompt,
        "agent": task.agent,
        "model": task.model,
        "session": task.session,
        "workspace": task.workspace,
        "reply_to": task.reply_address,
        "consent": task.consent,
        "created": when(record.created),
        "updated": when(record.updated),
    }


def on_its_clock(record: ScheduleRecord) -> str:
    """When a schedule is due next, as the clock of its zone shows it."""
    from autohands.runloop.zones import zone

    if record.next_at is None:
        return "never"
    zoned = datetime.fromtimestamp(record.next_at / 1000, zone(record.schedule.timezone))
    return f"{zoned:%Y-%m-%d %H:%M:%S} {record.schedule.timezone}"


def foreseen(forecast: Forecast | None) -> dict[str, Any] | None:
    """What a schedule will cost in 30 days, in USD; null where it is not known."""
    if forecast is None:
        return None
    mean, total = (None if each is None else each / 1e6 for each in (forecast.mean_micro_usd, forecast.micro_usd))
    return {"days": 30, "runs": forecast.runs, "earlier_runs": forecast.earlier, "mean_usd": mean, "usd": total}


def in_words(forecast: Forecast | None) -> str:
    """The same as a line."""
    if forecast is None:
        return "its cost is unknown"
    runs = f"{forecast.runs:,} runs in 30 days"
    if forecast.mean_micro_usd is None:
        return f"{runs}; what they cost is unknown: it has not run yet"
    mean, total = forecast.mean_micro_usd / 1e6, (forecast.micro_usd or 0) / 1e6
    return f"{runs}, each {mean:.4f} USD (mean of {forecast.earlier:,}): {total:.2f} USD"


def told(occurrence: Occurrence) -> dict[str, Any]:
    """One time of a schedule."""
    return {
        "id": occurrence.id,
        "at": when(occurrence.at),
        "state": occurrence.state,
        "reason": occurrence.reason,
        "task": occurrence.task,
        "task_state": occurrence.task_state,
        "settled": when(occurrence.created),
    }


def outcome(occurrence: Occurrence) -> str:
    """What became of a time, and of its task."""
    return f"{occurrence.state}, {occurrence.task_state}" if occurrence.task_state else occurrence.state
