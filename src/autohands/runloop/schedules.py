"""Schedules at work: what is due is fired, on time or made up for, whatever the clocks do."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace

from autohands.protocols.changes import Change
from autohands.protocols.errors import BadRequest, ConfigError, NotFound
from autohands.protocols.schedule import (
    Due,
    Fire,
    Occurrence,
    OccurrenceState,
    PauseSchedule,
    RemoveSchedule,
    SaveSchedule,
    Schedule,
    ScheduleRecord,
    occurrence_id,
)
from autohands.protocols.storage import Storage
from autohands.runloop.cron import LATE_MS, LONGEST_SECONDS
from autohands.runloop.queue import checked
from autohands.runloop.when import MOST_COUNTED, Interval, Times, count, latest, times_of
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import now_ms

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 200
MOST_ROWS: Final = 100
MOST_CATCH_UP: Final = 1000
JUMP_MS: Final = 2000
_WEEK_SECONDS: Final = 7 * 86_400


def elapsed_seconds() -> float:
    """Seconds that have really passed, those of sleep included, whatever the wall clock is set to."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Schedules:
    """Fires what is due. Several programs may do so on one database: each time is fired once.

    `now_ms` is the wall clock in UTC ms, `elapsed` one in seconds that nobody sets. `told` hears of every time that was
    settled here.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        now_ms: Callable[[], int] = now_ms,
        elapsed: Callable[[], float] = elapsed_seconds,
        told: Callable[[Occurrence], None] = lambda occurrence: None,
    ) -> None:
        self._storage = storage
        self._told = told
        self._now_ms = now_ms
        self._elapsed = elapsed
        self._seen: tuple[int, float] | None = None

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            StorageUnavailable: The database does not answer; run it again later.
        """
        with self._storage.listen("schedules") as bell:
            while True:
                seconds = await self.look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await bell.wait()

    async def look(self) -> float:
        """Fire what is due now. Returns how many seconds to wait before the next look, at most ten: clocks are set."""
        now = self._now_ms()
        jump = self._jump(now)
        if jump is not None:
            await self._follow_clock(now, jump)
        while records := await self._storage.schedules.due(now, MOST_AT_ONCE):
            await self._commit([await self._settled(record, now) for record in records])
        due = await self._storage.schedules.next_due()
        left = LONGEST_SECONDS if due is None else (due - self._now_ms() + 1) / 1000
        return min(max(left, 0.0), LONGEST_SECONDS)

    def _jump(self, now: int) -> int | None:
        """By how many ms the wall clock was set since the last look, 0 at the first; None if it was left alone."""
        elapsed, seen = self._elapsed(), self._seen
        self._seen = now, elapsed
        if seen is None:
            return 0
        jump = now - seen[0] - round((elapsed - seen[1]) * 1000)
        return jump if abs(jump) > JUMP_MS else None

    async def _follow_clock(self, now: int, jump: int) -> None:
        if jump:
            logger.warning("the clock was set by %+.0f s", jump / 1000)
        moved = [change for record in await self._storage.schedules.all() if (change := moving(record, now, jump))]
        for first in range(0, len(moved), MOST_AT_ONCE):
            await self._commit(moved[first : first + MOST_AT_ONCE])

    async def _settled(self, record: ScheduleRecord, now: int) -> Fire | PauseSchedule:
        """What becomes of a schedule. After a long absence that takes a while for each: others run in between."""
        await asyncio.sleep(0)
        return settlement(record, now)

    async def _commit(self, changes: Sequence[Fire | PauseSchedule]) -> None:
        """Commit each by itself, all at once: the writer groups them. What one raises does not hold others up; one that
        was removed meanwhile is left out."""
        failpoint("schedules.due")
        outcomes = await asyncio.gather(*map(self._storage.commit, changes), return_exceptions=True)
        failpoint("schedules.settled")
        for (settled,) in (outcome for outcome in outcomes if not isinstance(outcome, BaseException)):
            for occurrence in settled if isinstance(settled, list) else ():
                self._told(occurrence)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, NotFound):
                raise outcome


def settlement(record: ScheduleRecord, now: int) -> Fire | PauseSchedule:
    """What becomes of the times of a schedule that have come by `now` (UTC ms). One that makes no sense any more (its
    zone is gone, its record is damaged) is to rest."""
    schedule, expected = record.schedule, record.next_at or now
    try:
        times = times_of(schedule, expected)
    except BadRequest as error:
        reason = record.reason or error.text
        logger.error("schedule %s is paused: %s", schedule.name, reason)
        return PauseSchedule(name=schedule.name, reason=reason)
    due = latest(times, expected, now, max(MOST_ROWS, schedule.catch_up_most))
    settled = tuple(_settled(schedule, due, now))
    if due and (first := times.next_after(expected - 1)) is not None and first < due[0]:
        settled = (_summary(schedule, times, first, due[0] - 1), *settled)
    return Fire(name=schedule.name, expected=expected, due=settled, next_at=times.next_after(now))


def _settled(schedule: Schedule, due: Sequence[int], now: int) -> Iterable[Due]:
    """Which of the times are fired."""
    if schedule.catch_up == "skip":
        fired = {at for at in due if now - at <= LATE_MS}
    else:
        fired = set(due[-schedule.catch_up_most if schedule.catch_up == "all" else -1 :])
    for at in due:
        if at in fired:
            late = f"{(now - at) // 1000} s late" if now - at > LATE_MS else ""
            yield Due(at=at, reason=late, not_before=_not_before(schedule, at, now))
        elif schedule.catch_up == "once":
            yield Due(at=at, state="superseded", reason="a later time makes up for it")
        else:
            yield Due(at=at, state="missed", reason="nobody was there to fire it")


def _summary(schedule: Schedule, times: Times, first: int, last: int) -> Due:
    number = count(times, first, last)
    many = f"over {number:,}" if number == MOST_COUNTED else f"{number:,}"
    until = datetime.fromtimestamp(last / 1000, UTC).isoformat(timespec="seconds")
    state: OccurrenceState = "superseded" if schedule.catch_up == "once" else "missed"
    return Due(at=first, state=state, reason=f"{many} times up to {until}, of which this is the first")


def _not_before(schedule: Schedule, at: int, now: int) -> int | None:
    """A time's start, put off by its jitter: the same whoever works it out."""
    digest = hashlib.sha256(occurrence_id(schedule.name, at).encode()).digest()
    start = at + round(schedule.jitter_seconds * 1000 * int.from_bytes(digest[:8], "big") / (1 << 64))
    return start if start > now else None


def moving(record: ScheduleRecord, now: int, jump: int) -> Fire | None:
    """Where a schedule is to be due at another time because the clock was set by `jump` ms, UTC ms `now` being the
    time since: intervals go on as if it had not been; cron expressions go by the clock, which may have come back."""
    if record.state != "active" or record.next_at is None:
        return None
    due: int | None = record.next_at
    with contextlib.suppress(BadRequest):  # it is paused when it is due
        times = times_of(record.schedule, record.next_at)
        if isinstance(times, Interval):
            due = min(record.next_at + jump, now + times.period)
            if due < record.next_at and (record.next_at - due) % times.period == 0:
                due += 1  # or its times would be those that were fired before
        elif record.updated > now:
            due = times.next_after(now)
    if due is None or due == record.next_at:
        return None
    return Fire(name=record.schedule.name, expected=record.next_at, due=(), next_at=due)


def plan(schedule: Schedule, now: int | None = None, *, replacing: bool = False) -> SaveSchedule:
    """The change that keeps a schedule, if it makes sense; `next_at` is None if it has no time left.

    Raises:
        BadRequest: What is wrong with it: its times, its zone, its task, or a number.
    """
    now = now_ms() if now is None else now
    checked(schedule.task)
    times = times_of(schedule, now)
    if not 0 <= schedule.jitter_seconds <= _WEEK_SECONDS:
        raise BadRequest(f"a jitter of {schedule.jitter_seconds} s is not between 0 and a week")
    if not 1 <= schedule.catch_up_most <= MOST_CATCH_UP:
        raise BadRequest(f"{schedule.catch_up_most} times to catch up with are not between 1 and {MOST_CATCH_UP}")
    if schedule.max_failures < 0:
        raise BadRequest(f"{schedule.max_failures} failures make no sense", hint="0 is: never pause")
    return SaveSchedule(schedule=schedule, next_at=times.next_after(now), replace=replacing)


async def sync(storage: Storage, configured: Iterable[Schedule]) -> None:
    """Have the configured schedules be those that are stored: new ones are added, changed ones replaced, vanished ones
    removed, all at once. One that has not changed stays as it is, paused or not; the owner's are left alone.

    Raises:
        ConfigError: What is wrong with each that makes no sense; nothing was changed.
    """
    known = {record.schedule.name: record.schedule for record in await storage.schedules.all()}
    wanted = {schedule.name: replace(schedule, origin="config") for schedule in configured}
    changes: list[Change] = []
    problems: list[str] = []
    for name, schedule in wanted.items():
        if known.get(name) == schedule:
            continue
        if name in known and known[name].origin != "config":
            problems.append(f"schedules.{name}: there is one of that name already; `autohands schedule remove {name}`")
            continue
        try:
            changes.append(plan(schedule, replacing=True))
        except BadRequest as error:
            problems.append(f"schedules.{name}: {error.text}" + (f" ({error.hint})" if error.hint else ""))
    if problems:
        raise ConfigError("\n".join(problems))
    gone = [name for name, schedule in known.items() if schedule.origin == "config" and name not in wanted]
    changes += [RemoveSchedule(name=name) for name in gone]
    if changes:
        await storage.commit(*changes)
