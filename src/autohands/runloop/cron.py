"""Cron expressions on the clock of a time zone, and timers that follow them.

Clock changes are dealt with as Debian's cron does (cron(8)). An expression whose minute and hour do not begin with `*`
names times of day: one that a change leaves out comes once, at the end of the gap, and one that comes twice counts the
first time. Others, such as `*/30 * * * *`, come at each real time that they match.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from cronsim import CronSim, CronSimError

from autohands.protocols.errors import BadRequest
from autohands.runloop.zones import local_zone, moment, moments, zone
from autohands.sdk.identity import now_ms

MOST_CHARACTERS: Final = 200
LONGEST_SECONDS: Final = 10.0
LATE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_RANGES: Final = {"minute": (0, 59), "hour": (0, 23), "day-of-month": (1, 31), "month": (1, 12), "day-of-week": (0, 7)}
_ONE_LONG: Final = re.compile(r"\b(\w+)-(\w+)/0*[1-9]\d*")
_EPOCH: Final = datetime(2000, 1, 1)


class Cron:
    """A cron expression of five fields, or a nickname such as `@daily`, on the clock of an IANA zone.

    Fields may have names (`MON`, `JAN`), and as days `L`, `LW`, `5L` (the last Friday) and `MON#2`. Where both days are
    given one of them suffices, unless one begins with `*` (crontab(5)).

    Raises:
        BadRequest: The expression makes no sense or never comes, or the zone is unknown; the text names the field.
    """

    def __init__(self, expression: str, timezone: str | None = None) -> None:
        fields = _fields(expression)
        self.timezone = local_zone() if timezone is None else timezone
        self._zone = zone(self.timezone)
        self._names_times = not (fields[0].startswith("*") or fields[1].startswith("*"))
        self._walls = _parsed(fields)

    def next_after(self, now: int) -> int | None:
        """The first time after `now`, both UTC ms; None if none is left."""
        seconds = now // 1000
        here = datetime.fromtimestamp(seconds, self._zone)
        wall = here.replace(tzinfo=None, fold=0)
        times = [self._first(wall, seconds)]
        if not self._names_times and here.fold == 0:
            times.append(self._again(wall))
        return min((time * 1000 for time in times if time is not None), default=None)

    def _first(self, wall: datetime, now: int) -> int | None:
        for each in self._after(wall):
            if self._names_times:
                found: tuple[int, ...] = (moment(each, self._zone),)
            else:
                found = moments(each, self._zone)
            for time in found:
                if time > now:
                    return time
        return None

    def _again(self, wall: datetime) -> int | None:
        """The first time in the second pass of an hour that comes twice, up to `wall`, which is in its first."""
        both = moments(wall, self._zone)
        if len(both) < 2:
            return None
        for each in self._after(wall - timedelta(seconds=both[1] - both[0] + 1)):
            if each > wall:
                break
            if len(found := moments(each, self._zone)) == 2:
                return found[1]
        return None

    def _after(self, wall: datetime) -> Iterator[datetime]:
        """What the clock shows at times that match, after `wall`, as if it were never put forward or back."""
        walls = copy.copy(self._walls)
        walls.dt = wall
        try:
            yield from walls
        except OverflowError:  # the year 10,000
            return


def _fields(expression: str) -> list[str]:
    if len(expression) > MOST_CHARACTERS:
        raise BadRequest(f"a cron expression of {len(expression)} characters is longer than {MOST_CHARACTERS}")
    text = expression.strip()
    if text.startswith("@"):
        if text not in NICKNAMES:
            raise BadRequest(f"cron expression {text!r} is no time", hint=f"use {', '.join(NICKNAMES)} or five fields")
        text = NICKNAMES[text]
    fields = _ONE_LONG.sub(_one, text.upper()).split()
    if len(fields) != len(_RANGES):
        hint = f"write {' '.join(_RANGES)}; there are no seconds"
        raise BadRequest(f"cron expression {text!r} has {len(fields)} fields, not five", hint=hint)
    return fields


def _one(found: re.Match[str]) -> str:
    """cronsim reads `5-5/10` as `5/10`: a range of one is one, whatever its steps."""
    return found[1] if found[1].lstrip("0") == found[2].lstrip("0") else found[0]


def _parsed(fields: list[str]) -> CronSim:
    text = " ".join(fields)
    for number, (name, field) in enumerate(zip(_RANGES, fields, strict=True)):
        alone = ["*"] * len(_RANGES)
        alone[number] = field
        try:
            CronSim(" ".join(alone), _EPOCH)
        except CronSimError:
            raise BadRequest(f"cron expression {text!r}: {name} {field!r}: {_fault(name, field)}") from None
    try:
        parsed = CronSim(text, _EPOCH)
        next(copy.copy(parsed))
    except (CronSimError, StopIteration):
        day, month, weekday = fields[2:]
        fault = f"day-of-month {day!r} never comes with month {month!r} and day-of-week {weekday!r}"
        raise BadRequest(f"cron expression {text!r}: {fault}") from None
    return parsed


def _fault(name: str, field: str) -> str:
    """Why a field cannot be read."""
    lowest, highest = _RANGES[name]
    if re.search(r"/0+(?!\d)", field):
        return "a step of 0 never moves on"
    for number in re.findall(r"(?<![\d/#])\d+", field):
        if not lowest <= int(number) <= highest:
            return f"{number} is not between {lowest} and {highest}"
    if re.search(r"(?<!/)\b\w+-\w+", field):
        return "a range goes from the lower to the higher"
    return f"write *, numbers from {lowest} to {highest}, lists (1,2), ranges (1-5) or steps (*/5)"


class Clock(Protocol):
    """What a timer reads and waits by."""

    def now_ms(self) -> int:
        """The wall clock in UTC ms."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class WallClock:
    """This machine's clock."""

    def now_ms(self) -> int:
        """The wall clock in UTC ms."""
        return now_ms()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class CronTimer:
    """Calls `fire` at the times of a cron expression, in this program only: nothing is stored.

    A time that comes more than a minute late (the machine slept) is made up for once, or left out with `skip`.

    Raises:
        BadRequest: As `Cron`.
    """

    def __init__(
        self,
        name: str,
        expression: str,
        timezone: str,
        fire: Callable[[], Awaitable[None]],
        *,
        catch_up: Literal["skip", "once"] = "once",
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._cron = Cron(expression, timezone)
        self._fire = fire
        self._catch_up = catch_up
        self._clock = WallClock() if clock is None else clock

    def next_after(self, now: int) -> int | None:
        """The first time after `now`, both UTC ms."""
        return self._cron.next_after(now)

    async def run(self) -> None:
        """Run until cancelled. What `fire` raises ends it."""
        fired = self._clock.now_ms() - 1
        while (due := await self._until_due(fired)) is not None:
            fired = self._clock.now_ms()
            if self._catch_up == "once" or fired - due <= LATE_MS:
                await self._fire()

    async def _until_due(self, after: int) -> int | None:
        """Wait for the first time after `after`, UTC ms; on a clock that was put back by days, after then."""
        while (due := self.next_after(after)) is not None:
            now = self._clock.now_ms()
            if due <= now:
                return due
            if after - now > _DAY_MS:
                after = now
            else:
                await self._clock.sleep(min((due - now) / 1000, LONGEST_SECONDS))
        return None
