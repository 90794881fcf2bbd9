"""Tasks at set times: what is to be done when, and what became of each time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from autohands.protocols.task import Task, TaskState

Kind: TypeAlias = Literal["cron", "interval", "once"]
CatchUp: TypeAlias = Literal["skip", "once", "all"]
Overlap: TypeAlias = Literal["forbid", "queue", "allow"]
ScheduleState: TypeAlias = Literal["active", "paused", "unconfirmed", "over"]
OccurrenceState: TypeAlias = Literal["fired", "skipped", "missed", "superseded"]


class Schedule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task at set times.

    `when` is a cron expression of five fields, an interval (`90s`, `15m`, `6h`, `1d`) or one time (ISO 8601 with
    offset), as `kind` says. `timezone` is an IANA name: the clock that a cron expression reads. Times that were missed
    are left out (`skip`), made up for by one run (`once`) or by the last `catch_up_most` of them (`all`). Where the
    task of an earlier time has not ended, a new one is left out (`forbid`), waits, one at most (`queue`), or runs
    beside it (`allow`). Each start is put off by up to `jitter_seconds`. After `max_failures` failures in a row the
    schedule pauses; 0 is never.
    """

    name: str
    kind: Kind
    when: str
    task: Task
    timezone: str = "UTC"
    catch_up: CatchUp = "once"
    catch_up_most: int = 10
    overlap: Overlap = "forbid"
    jitter_seconds: float = 0.0
    max_failures: int = 5
    origin: Literal["owner", "config", "agent"] = "owner"


class ScheduleRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule as it is stored. Times are UTC ms; `next_at` is when it is due, None if never again."""

    schedule: Schedule
    state: ScheduleState = "active"
    reason: str = ""
    next_at: int | None = None
    failures: int = 0
    backoff_until: int | None = None
    created: int = 0
    updated: int = 0


class Occurrence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One time of one schedule and what became of it. `at` (UTC ms) is when it was due: with the name it is its id."""

    schedule: str
    at: int
    state: OccurrenceState
    reason: str = ""
    task: str | None = None
    task_state: TaskState | None = None
    created: int = 0

    @property
    def id(self) -> str:
        """`name@time`: unique for ever."""
        return occurrence_id(self.schedule, self.at)


def occurrence_id(schedule: str, at: int) -> str:
    """The id of a time (UTC ms) of a schedule, which is the idempotency key of its task."""
    time = datetime.fromtimestamp(at / 1000, UTC).replace(tzinfo=None)
    return f"{schedule}@{time.isoformat(timespec='milliseconds' if at % 1000 else 'seconds')}Z"


class Due(Struct, frozen=True, kw_only=True):
    """A time that has come: it is to be `fired`, or why not. `not_before` (UTC ms) puts its start off."""

    at: int
    state: OccurrenceState = "fired"
    reason: str = ""
    not_before: int | None = None


class SaveSchedule(Struct, frozen=True, kw_only=True):
    """Keep a schedule that is due next at `next_at`. Result: its record.

    One whose task carries the label `untrusted` is unconfirmed: it does not fire until a person resumes it.

    Raises:
        Conflict: There is one of that name, and it is not to be replaced. BadRequest: That is no name.
    """

    schedule: Schedule
    next_at: int | None
    replace: bool = False


class RemoveSchedule(Struct, frozen=True, kw_only=True):
    """Delete a schedule and its history; tasks that it made stay. Raises `NotFound`."""

    name: str


class PauseSchedule(Struct, frozen=True, kw_only=True):
    """Let a schedule rest. Result: its record. Raises `NotFound`."""

    name: str
    reason: str = ""


class ResumeSchedule(Struct, frozen=True, kw_only=True):
    """Let a schedule go on, confirmed, its failures forgotten. Result: its record. Raises `NotFound`, `Conflict`."""

    name: str
    next_at: int | None


class Fire(Struct, frozen=True, kw_only=True):
    """Settle the times of a schedule that have come, and say when it is due next.

    Nothing happens unless it is active and its `next_at` is `expected`: of several programs one comes first. A time
    that has a row already is passed over. What is to be fired gives the schedule's task, with the idempotency key
    `name@time`, unless an earlier one stands in its way or failures make it wait. Result: the occurrences it wrote.
    """

    name: str
    expected: int
    due: tuple[Due, ...]
    next_at: int | None


ScheduleChange: TypeAlias = SaveSchedule | RemoveSchedule | PauseSchedule | ResumeSchedule | Fire


class Schedules(Protocol):
    """Queries about schedules."""

    async def get(self, name: str) -> ScheduleRecord:
        """One schedule. Raises `NotFound` with the nearest names."""
        ...

    async def all(self) -> list[ScheduleRecord]:
        """All schedules, by name."""
        ...

    async def due(self, now: int, limit: int = 1000) -> list[ScheduleRecord]:
        """Active schedules whose time has come by `now` (UTC ms), the longest due first."""
        ...

    async def next_due(self) -> int | None:
        """When the next active schedule is due, in UTC ms."""
        ...

    async def history(self, name: str, limit: int = 100) -> list[Occurrence]:
        """What became of a schedule's times, newest first. Raises `NotFound`."""
        ...
