"""When a schedule is due: by a cron expression, at an interval, or once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final, Protocol

from msgspec import Struct

from autohands.protocols.errors import BadRequest
from autohands.protocols.schedule import Schedule
from autohands.runloop.cron import Cron
from autohands.runloop.zones import moment, zone

MOST_COUNTED: Final = 1_000
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_SECONDS: Final = 366 * 86_400


class Times(Protocol):
    """The times of a schedule."""

    def next_after(self, now: int) -> int | None:
        """The first time after `now`, both UTC ms; None if none is left."""
        ...


class Interval(Struct, frozen=True):
    """Every `period` ms, `anchor` (UTC ms) being one of the times."""

    period: int
    anchor: int

    def next_after(self, now: int) -> int:
        """The first time after `now`, both UTC ms."""
        return now + self.period - (now - self.anchor) % self.period


class Once(Struct, frozen=True):
    """At one time, in UTC ms."""

    at: int

    def next_after(self, now: int) -> int | None:
        """That time, if it is after `now`."""
        return self.at if self.at > now else None


def times_of(schedule: Schedule, anchor: int) -> Times:
    """The times of a schedule. `anchor` (UTC ms) is one of them, where it comes at intervals.

    Raises:
        BadRequest: They cannot be read, or its zone is unknown.
    """
    if schedule.kind == "interval":
        return Interval(round(duration(schedule.when) * 1000), anchor)
    if schedule.kind == "once":
        return Once(instant(schedule.when, schedule.timezone))
    return Cron(schedule.when, schedule.timezone)


def duration(text: str) -> int:
    """The seconds of `90s`, `15m`, `6h` or `1d`.

    Raises:
        BadRequest: It is none, nothing, or over a year.
    """
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip())
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise BadRequest(f"{text[:100]!r} is no interval", hint="write 90s, 15m, 6h or 1d, at most a year")
    return seconds


def instant(text: str, timezone: str | None = None) -> int:
    """The UTC ms of a time in ISO 8601; one without an offset is read on the clock of `timezone`.

    Raises:
        BadRequest: It is none, or has no offset where no zone is given, or the zone is unknown.
    """
    try:
        time = datetime.fromisoformat(text.strip())
        if time.tzinfo is not None:
            return round(time.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadRequest(f"{text[:100]!r} is no time", hint="write it as 2027-01-31T09:00:00+01:00") from None
    if timezone is None:
        hint = "add one, as in 2027-01-31T09:00:00+01:00, or name a timezone"
        raise BadRequest(f"the time {text[:100]!r} has no offset", hint=hint)
    return moment(time, zone(timezone)) * 1000


def walk(times: Times, first: int, last: int) -> Iterator[int]:
    """The times from `first` to `last`, both included, in UTC ms."""
    time = times.next_after(first - 1)
    while time is not None and time <= last:
        yield time
        time = times.next_after(time)


def latest(times: Times, first: int, last: int, most: int) -> list[int]:
    """The last `most` of the times from `first` to `last`, in UTC ms, found without walking through all of them."""
    found = list(islice(walk(times, first, last), 2 * most))
    if len(found) < 2 * most:
        return found[-most:]
    low, high = first, last
    while not most <= len(found) < 2 * most:
        middle = (low + high) // 2
        found = list(islice(walk(times, middle, last), 2 * most))
        low, high = (middle, high) if len(found) == 2 * most else (low, middle)
    return found[-most:]


def count(times: Times, first: int, last: int) -> int:
    """How many times there are from `first` to `last`, in UTC ms; it stops at `MOST_COUNTED`."""
    return sum(1 for _ in islice(walk(times, first, last), MOST_COUNTED))
