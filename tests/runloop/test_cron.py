"""Cron expressions: what is refused and why, clock changes, and two other implementations that agree."""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from autohands.protocols.errors import BadRequest
from autohands.runloop.cron import Cron, CronTimer
from autohands.runloop.when import duration, instant
from autohands.runloop.zones import local_zone, zone
from autohands.testing.clock import FakeClock

BERLIN = "Europe/Berlin"
TRIALS = 10_000
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
NAMES = {name: number for number, name in (*enumerate(MONTHS, 1), *enumerate(DAYS))}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def times(expression: str, timezone: str, after: str, number: int) -> list[str]:
    """The next times, as the zone's clock shows them."""
    cron, now, found = Cron(expression, timezone), milliseconds(after), list[str]()
    while len(found) < number and (following := cron.next_after(now)) is not None:
        now = following
        found.append(datetime.fromtimestamp(now / 1000, zone(timezone)).isoformat())
    return found


def milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


# --- clock changes -------------------------------------------------------------------------------------------------


def test_ti01_a_time_in_a_gap_comes_once_at_its_end() -> None:
    assert times("30 2 * * *", BERLIN, "2027-03-27T12:00:00+01:00", 2) == [
        "2027-03-28T03:00:00+02:00",
        "2027-03-29T02:30:00+02:00",
    ]
    assert times("0,15,30 2 * * *", BERLIN, "2027-03-28T00:00:00+01:00", 2)[1] == "2027-03-29T02:00:00+02:00"


def test_ti01_wildcards_have_no_time_in_a_gap() -> None:
    """The twin: nothing is put off to the end of the gap that was not to come at one time of day."""
    assert times("*/30 2 * * *", BERLIN, "2027-03-28T00:00:00+01:00", 1) == ["2027-03-29T02:00:00+02:00"]
    assert times("*/30 * * * *", BERLIN, "2027-03-28T01:15:00+01:00", 2) == [
        "2027-03-28T01:30:00+01:00",
        "2027-03-28T03:00:00+02:00",
    ]


def test_ti02_a_time_that_comes_twice_is_fired_the_first_time() -> None:
    assert times("30 2 * * *", BERLIN, "2026-10-24T12:00:00+02:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]
    for after in ("2026-10-25T02:45:00+02:00", "2026-10-25T02:15:00+01:00"):
        assert times("30 2 * * *", BERLIN, after, 1) == ["2026-10-26T02:30:00+01:00"]


def test_ti02_wildcards_come_both_times() -> None:
    assert times("*/30 * * * *", BERLIN, "2026-10-25T01:45:00+02:00", 5) == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]
    assert times("0 * * * *", BERLIN, "2026-10-25T02:30:00+02:00", 1) == ["2026-10-25T02:00:00+01:00"]


CHANGES = (
    (BERLIN, "2027-03-28"),
    (BERLIN, "2026-10-25"),
    ("Australia/Lord_Howe", "2026-04-05"),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Africa/Cairo", "2026-04-24"),  # at midnight
    ("America/Santiago", "2026-09-06"),
    ("America/Havana", "2026-11-01"),
    ("Antarctica/Troll", "2026-03-29"),  # by two hours
    ("Pacific/Apia", "2011-12-30"),  # a day that never was
)
HOURLY = ("* * * * *", "*/7 * * * *", "5 * * * *", "*/20 0-3 * * *", "59 * 30 * *", "*/10 2 * * 0")
DAILY = ("30 2 * * *", "0 0 * * *", "15,45 0-3 * * *", "59 23 * * *", "10 1 * * 0", "0 12 30 * *")


@pytest.mark.parametrize(("name", "day"), CHANGES)
def test_ti02_times_around_a_change_are_those_of_a_clock_that_is_watched(name: str, day: str) -> None:
    start = datetime.combine(date.fromisoformat(day), time(), UTC) - timedelta(days=1, hours=3)
    for expression in HOURLY + DAILY:
        cron, found, now = Cron(expression, name), list[int](), round(start.timestamp() * 1000)
        end = now + 3 * 86_400_000
        while (following := cron.next_after(now)) is not None and following <= end:
            found.append(following)
            now = following
        assert found == list(watched(expression, zone(name), start, end)), expression


def watched(expression: str, where: tzinfo, start: datetime, end: int) -> Iterator[int]:
    """What a clock that is looked at each real minute would fire."""
    minutes, hours, *days = expression.split()
    named = not minutes.startswith("*") and not hours.startswith("*")
    fields, seen = read(expression), set[datetime]()
    here = start.astimezone(where).replace(tzinfo=None)
    for step in range(1, 3 * 1440 + 1):
        moment = start + timedelta(minutes=step)
        before, here = here, moment.astimezone(where).replace(tzinfo=None)
        gap = max(0, int((here - before).total_seconds() // 60) - 1) if named else 0
        shown = [here - timedelta(minutes=back) for back in range(gap + 1)]
        now = round(moment.timestamp() * 1000)
        if now <= end and any(matches(fields, days, wall) and not (named and wall in seen) for wall in shown):
            yield now
        seen.update(shown)


# --- two other implementations -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ti06_random_expressions_agree_with_two_other_implementations() -> None:
    dice = random.Random(20_270_328)
    compared = 0
    for _ in range(TRIALS):
        expression = " ".join(field(dice, position) for position in range(5))
        start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=dice.randrange(15 * 366 * 1440))
        expected = list(islice(searched(expression, start), 2))
        assert following(expression, start, 2) == expected, expression
        if expected and not is_misread(expression):
            other = croniter(expression, start)
            assert expected == [other.get_next(datetime), other.get_next(datetime)], expression
            compared += 1
    assert compared > TRIALS // 2


def following(expression: str, start: datetime, number: int) -> list[datetime]:
    """The next times in UTC; none where the expression is refused because it never comes."""
    try:
        cron = Cron(expression, "UTC")
    except BadRequest as error:
        if "never comes" not in error.text:
            raise
        return []
    now, found = round(start.timestamp() * 1000), list[datetime]()
    for _ in range(number):
        now = cron.next_after(now) or 0
        found.append(datetime.fromtimestamp(now / 1000, UTC))
    return found


def is_misread(expression: str) -> bool:
    """What croniter 6 reads otherwise than crontab(5): `5-5` (as any), `*/2` as one of two restricted days (as a list),
    and a list of all the days there are (as a star)."""
    fields, (_, _, month, _, week) = read(expression), expression.split()
    days = {each % 7 for each in fields[4]}
    return (
        re.search(r"\b(\w+)-\1\b", expression) is not None
        or (any(each.startswith("*/") for each in (month, week)) and "*" not in (month, week))
        or (week != "*" and len(days) == 7)
        or (month != "*" and len(fields[2]) == 31)
    )


def test_ti06_a_range_of_one_is_one_whatever_its_steps() -> None:
    """cronsim 2.8 reads it as `5/20`."""
    assert [each[14:16] for each in times("5-5/20 * * * *", "UTC", "2026-01-01T00:00Z", 2)] == ["05", "05"]
    assert [each[14:16] for each in times("5/20 * * * *", "UTC", "2026-01-01T00:00Z", 2)] == ["05", "25"]


def field(dice: random.Random, position: int) -> str:
    low, high = RANGES[position]
    names = {3: MONTHS, 4: DAYS}.get(position)

    def one() -> str:
        kind = dice.randrange(5)
        first = dice.randint(low, high)
        last = dice.randint(first, high)
        step = dice.randint(1, max(2, (high - low) // 2))
        match kind:
            case 0 | 1:
                return dice.choice(names) if names and dice.random() < 0.5 else str(first)
            case 2:
                return f"{first}-{last}"
            case 3:
                return f"{first}-{last}/{step}"
            case _:
                return f"*/{step}"

    if dice.random() < 0.4:
        return "*"
    return ",".join(one() for _ in range(dice.choice((1, 1, 1, 2, 3))))


def read(expression: str) -> list[set[int]]:
    """The numbers that each field names."""
    found = []
    for text, (low, high) in zip(expression.upper().split(), RANGES, strict=True):
        found.append({number for term in text.split(",") for number in numbers(term, low, high)})
    return found


def numbers(term: str, low: int, high: int) -> set[int]:
    span, _, step = term.partition("/")
    first, _, last = span.partition("-")
    if span == "*":
        return set(range(low, high + 1, int(step or 1)))
    start = NAMES.get(first) if first in NAMES else int(first)
    assert start is not None
    return set(range(start, (int(last) if last else start) + 1, int(step or 1)))


def matches(fields: list[set[int]], days: list[str], wall: datetime) -> bool:
    minutes, hours, *_ = fields
    return wall.minute in minutes and wall.hour in hours and is_day(fields, days, wall.date())


def is_day(fields: list[set[int]], days: list[str], day: date) -> bool:
    """crontab(5): where both days are restricted one is enough; a field that begins with a star restricts nothing."""
    _, _, of_month, months, of_week = fields
    by_month, by_week = day.day in of_month, bool({day.isoweekday(), day.isoweekday() % 7} & of_week)
    both = days[0].startswith("*") or days[2].startswith("*")
    return day.month in months and (by_month and by_week if both else by_month or by_week)


def searched(expression: str, start: datetime) -> Iterator[datetime]:
    """The times after `start`, UTC, found by looking at each day."""
    fields, days = read(expression), expression.split()[2:]
    for number in range(30 * 366):
        day = start.date() + timedelta(days=number)
        if is_day(fields, days, day):
            for hour in sorted(fields[1]):
                for minute in sorted(fields[0]):
                    found = datetime.combine(day, time(hour, minute), UTC)
                    if found > start:
                        yield found


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("@reboot", "@reboot"),
        ("@every 5m", "is no time"),
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("* * * * * *", "6 fields, not five"),
        ("*/0 * * * *", r"minute '\*/0': a step of 0"),
        ("0 */0 * * *", "hour .* a step of 0"),
        ("61 * * * *", "minute '61': 61 is not between 0 and 59"),
        ("* 24 * * *", "hour '24': 24 is not between 0 and 23"),
        ("* * 0 * *", "day-of-month '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "day-of-week '8': 8 is not between 0 and 7"),
        ("* * * * FRI-MON", "day-of-week 'FRI-MON': a range goes"),
        ("20-10 * * * *", "minute '20-10': a range goes"),
        ("x * * * *", "minute 'X'"),
        ("1,,2 * * * *", "minute '1,,2'"),
        ("-5 * * * *", "minute '-5'"),
        ("1.5 * * * *", "minute"),
        ("² * * * *", "minute"),
        ("0 0 31 2 *", "day-of-month '31' never comes with month '2'"),
        ("0 0 30 FEB *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("* " * 512, "1024 characters is longer than 200"),
    ],
)
def test_ti06_a_broken_expression_is_refused_with_field_and_reason(expression: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        Cron(expression, "UTC")


def test_ti06_rare_dates_are_exact() -> None:
    assert times("0 0 29 2 *", "UTC", "2026-03-01T00:00Z", 2) == [
        "2028-02-29T00:00:00+00:00",
        "2032-02-29T00:00:00+00:00",
    ]
    assert [each[5:10] for each in times("0 0 31 * *", "UTC", "2026-01-31T00:00Z", 3)] == ["03-31", "05-31", "07-31"]
    assert [each[:10] for each in times("0 0 13 * FRI", "UTC", "2026-02-01T00:00Z", 3)] == [
        *("2026-02-06", "2026-02-13", "2026-02-20"),
    ]
    assert times("0 0 L 2 *", "UTC", "2028-01-01T00:00Z", 1) == ["2028-02-29T00:00:00+00:00"]
    assert times("0 0 29 2 *", "UTC", "2096-03-01T00:00Z", 1) == ["2104-02-29T00:00:00+00:00"]


def test_expressions_may_have_names_and_nicknames() -> None:
    start = "2026-07-01T00:30:00+00:00"
    for nickname, following in {
        "@hourly": "2026-07-01T01:00:00+00:00",
        "@daily": "2026-07-02T00:00:00+00:00",
        "@weekly": "2026-07-05T00:00:00+00:00",
        "@monthly": "2026-08-01T00:00:00+00:00",
        "@yearly": "2027-01-01T00:00:00+00:00",
        "0 7 * jul-AUG mon-fri": "2026-07-01T07:00:00+00:00",
        "  0\t7 1 *  * ": "2026-07-01T07:00:00+00:00",
    }.items():
        assert times(nickname, "UTC", start, 1) == [following]


def test_a_time_is_after_now_to_the_millisecond() -> None:
    cron, minute = Cron("* * * * *", "UTC"), 1_800_000_000_000
    assert [cron.next_after(minute + more) for more in (-1, 0, 1, 59_999)] == [minute, *[minute + 60_000] * 3]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", BERLIN),
        ("Berlin", BERLIN),
        ("Europe/Berln", BERLIN),
        ("new york", "America/New_York"),
        ("Mars/Olympus", "IANA"),
        ("Europe", ""),
        ("", "IANA"),
        ("../../etc/passwd", ""),
        ("/etc/passwd", ""),
        ("\0", ""),
        ("\ud800", ""),
        ("x" * 5000, ""),
    ],
)
def test_ti06_an_unknown_zone_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(BadRequest, match="timezone") as refused:
        Cron("* * * * *", name)
    assert hint in (refused.value.hint or "")


NO_DATA = """
import sys; sys.modules["tzdata"] = None
from autohands.protocols.errors import BadRequest
from autohands.runloop.cron import Cron
print(Cron("0 0 * * *", "UTC").next_after(0))
try:
    Cron("0 0 * * *", "Europe/Berlin")
except BadRequest as error:
    print(error.hint)
"""


def test_ti06_without_time_zone_data_the_remedy_is_named() -> None:
    environment = {**os.environ, "PYTHONTZPATH": ""}
    done = subprocess.run([sys.executable, "-c", NO_DATA], env=environment, capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines() == [
        "86400000",
        "this machine has no time zone data: install the Python package tzdata, or use UTC",
    ]


@pytest.mark.parametrize(("variable", "name"), [("Asia/Tokyo", "Asia/Tokyo"), (":Asia/Tokyo", "Asia/Tokyo")])
def test_ti10_this_machines_zone_is_known_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    monkeypatch.setenv("TZ", variable)
    assert local_zone() == name


def test_ti10_without_a_name_it_is_utc_or_what_the_machine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST")  # POSIX rules: no name that others know
    assert zone(local_zone()).utcoffset(datetime(2026, 1, 1)) is not None


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("6h", 21_600), ("1d", 86_400)])
def test_intervals(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "0s", "-5m", "1.5h", "5 m", "5x", "m", "١m", "367d", "9" * 30 + "s"])
def test_broken_intervals_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="interval"):
        duration(text)


def test_one_time_needs_an_offset_or_a_zone() -> None:
    assert instant("2027-01-31T09:00:00+01:00") == instant("2027-01-31T08:00Z") == instant("2027-01-31T09:00", BERLIN)
    assert instant("2027-03-28T02:30", BERLIN) == milliseconds("2027-03-28T03:00:00+02:00")
    assert instant("2026-10-25T02:30", BERLIN) == milliseconds("2026-10-25T02:30:00+02:00")
    with pytest.raises(BadRequest, match="no offset"):
        instant("2027-01-31T09:00")
    for text in ("tomorrow", "", "2027-02-30T00:00Z", "1e9"):
        with pytest.raises(BadRequest, match="is no time"):
            instant(text)


# --- the timer -----------------------------------------------------------------------------------------------------


class SetClock:
    """A clock that passes when the test says so, and that the test can set without waking anybody."""

    def __init__(self, start: str) -> None:
        self.passing = FakeClock(0.0)
        self.set_to = milliseconds(start)
        self.sleep = self.passing.sleep

    def now_ms(self) -> int:
        return self.set_to + self.passing.now_ms()


class Watched:
    """A timer that runs on such a clock, and the times at which it fired."""

    def __init__(self, expression: str, start: str, catch_up: Literal["skip", "once"] = "once") -> None:
        self.clock = SetClock(start)
        self.fired: list[str] = []
        self.timer = CronTimer("t", expression, BERLIN, self._fire, clock=self.clock, catch_up=catch_up)

    async def _fire(self) -> None:
        now = datetime.fromtimestamp(self.clock.now_ms() / 1000, ZoneInfo(BERLIN))
        self.fired.append(now.isoformat(timespec="minutes"))

    async def __aenter__(self) -> Watched:
        self._running = asyncio.ensure_future(self.timer.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.passing.advance(seconds)
        await asyncio.sleep(0)


async def test_a_timer_fires_at_each_time_and_never_early() -> None:
    async with Watched("0 3 * * *", "2026-07-01T02:00:00+02:00") as watched:
        await watched.advance(3599.9)
        assert watched.fired == []
        await watched.advance(1)
        await watched.advance(86_400)
    assert watched.fired == ["2026-07-01T03:00+02:00", "2026-07-02T03:00+02:00"]


@pytest.mark.parametrize(("policy", "fired"), [("once", 1), ("skip", 0)])
async def test_a_timer_makes_up_once_for_what_it_slept_through(policy: Literal["skip", "once"], fired: int) -> None:
    async with Watched("0 * * * *", "2026-07-01T02:30:00+02:00", policy) as watched:
        watched.clock.set_to += 8 * 3_600_000
        await watched.advance(60)
    assert len(watched.fired) == fired


@pytest.mark.parametrize(("back_ms", "fired"), [(3_600_000, 1), (400 * 86_400_000, 2)])
async def test_ti04_a_timer_survives_a_clock_that_is_put_back(back_ms: int, fired: int) -> None:
    """By an hour: nothing comes again. By a year: it goes on from there."""
    async with Watched("0 3 * * *", "2026-07-02T02:59:00+02:00") as watched:
        await watched.advance(61)
        watched.clock.set_to -= back_ms
        await watched.advance(2 * 3600 if fired == 1 else 86_400)
    assert len(watched.fired) == fired
