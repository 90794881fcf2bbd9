"""What others deliver: a webhook's call becomes one task, and no source may flood the queue."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from autohands.protocols.context import Labels
from autohands.protocols.errors import BadRequest, TooBusy
from autohands.protocols.loop import Middleware, Submit
from autohands.protocols.storage import Storage
from autohands.protocols.task import Task, TaskRecord
from autohands.sdk.identity import now_ms

T = TypeVar("T")

DAY_MS: Final = 86_400_000
COUNTED: Final = 10_000
MOST_SOURCES: Final = 1_000
_SOURCE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_ID: Final = 255


def task_of_delivery(source: str, delivery_id: str, payload: dict[str, Any], prompt_template: str) -> Task:
    """The task of one delivery: submitted again, under the same id, it is the same task and no second run.

    `{payload}`, `{source}` and `{delivery}` in the template stand for the payload as JSON, the source's name and the
    id; a payload that the template does not name stands behind the prompt. What comes from outside is untrusted.

    Raises:
        BadRequest: The name or the id is empty or too long, or the payload is no JSON.
    """
    if not _SOURCE.fullmatch(source):
        raise BadRequest(f"{source[:100]!r} cannot name a source", hint="use at most 64 of A-Z a-z 0-9 . _ -")
    if not 0 < len(delivery_id) <= _LONGEST_ID or not delivery_id.isprintable():
        raise BadRequest(
            f"a delivery from {source} needs an id of 1 to {_LONGEST_ID} characters", hint="send a digest of it"
        )
    try:
        text = msgspec.json.encode(payload).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadRequest(f"the payload of {source} {delivery_id} cannot be written as JSON: {error}") from None
    return Task(
        prompt=filled(prompt_template, {"payload": text, "source": source, "delivery": delivery_id}),
        payload=None if "{payload}" in prompt_template else payload,
        source=f"webhook:{source}",
        idempotency_key=delivery_id,
        labels=Labels(integrity="untrusted", untrusted=True),
    )


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its `{name}`s replaced. What is filled in is not looked at again; other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)


class SourceLimit(Struct, frozen=True, kw_only=True):
    """What each source may submit whose name matches (`webhook:*`, a glob): `burst` tasks at once, `rate` in
    `period_seconds` in the long run, `runs_per_day` from midnight to midnight UTC (None is no limit).
    """

    source: str
    rate: float = 60
    period_seconds: float = 60.0
    burst: int = 20
    runs_per_day: int | None = 1000


class _Bucket:
    """Tokens of one source: each task takes one, and they come back with time."""

    def __init__(self, limit: SourceLimit, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._filled = now

    def take(self, now: float) -> float:
        """Take a token: 0.0, or the seconds until there is one."""
        per_second = self._limit.rate / self._limit.period_seconds
        self._tokens = min(float(self._limit.burst), self._tokens + (now - self._filled) * per_second)
        self._filled = now
        if self._tokens < 1:
            return (1 - self._tokens) / per_second
        self._tokens -= 1
        return 0.0


class _Day:
    """The tasks of one source on one day: those accepted, and how many are just being submitted."""

    def __init__(self, number: int, tasks: set[str]) -> None:
        self.number = number
        self.tasks = tasks
        self.coming = 0


class SourceRate:
    """Middleware that keeps each source within its limits; the first limit that matches a source counts.

    The buckets are in memory and full after a restart. The count of the day is read from the tables once, from the last
    10,000 tasks, and then kept here: it holds for one program, which is the one that hears the webhooks.
    """

    def __init__(
        self, storage: Storage, limits: Sequence[SourceLimit], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._limits = tuple(limits)
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._days: dict[str, _Day] = {}

    def middleware(self) -> Middleware:
        """It, as the queue takes it: outside of the others."""
        return Middleware(name="source-rate", submit=self.submit, order=-100)

    async def submit(self, task: Task, onward: Submit) -> TaskRecord:
        """Let a task pass.

        Raises:
            TooBusy: Its source has submitted too many; says when to come back.
        """
        limit = next((each for each in self._limits if fnmatchcase(task.source, each.source)), None)
        if limit is None:
            return await onward(task)
        self._take_token(task.source, limit)
        if limit.runs_per_day is None:
            return await onward(task)
        day = await self._today(task.source)
        if len(day.tasks) + day.coming >= limit.runs_per_day:
            raise TooBusy(
                f"{task.source} has started {len(day.tasks):,} runs today, of {limit.runs_per_day:,}",
                retry_after_seconds=math.ceil((DAY_MS - now_ms() % DAY_MS) / 1000),
                hint="it goes on at midnight UTC; raise the limit of the source if it is too low",
            )
        day.coming += 1
        try:
            record = await onward(task)
        finally:
            day.coming -= 1
        day.tasks.add(record.id)
        return record

    def _take_token(self, source: str, limit: SourceLimit) -> None:
        now = self._clock()
        if source not in self._buckets:
            _put(self._buckets, source, _Bucket(limit, now))
        if wait := self._buckets[source].take(now):
            raise TooBusy(
                f"{source} submits more than {limit.rate:g} tasks in {limit.period_seconds:g} s",
                retry_after_seconds=wait,
            )

    async def _today(self, source: str) -> _Day:
        number = now_ms() // DAY_MS
        day = self._days.get(source)
        if day is None or day.number != number:
            found = await self._accepted(source, number * DAY_MS)
            day = self._days.get(source)  # somebody else may have been faster
            if day is None or day.number != number:
                day = _Day(number, found)
                _put(self._days, source, day)
        return day

    async def _accepted(self, source: str, since: int) -> set[str]:
        records = await self._storage.tasks(limit=COUNTED)
        return {record.id for record in records if record.task.source == source and record.created >= since}


def _put(known: dict[str, T], source: str, item: T) -> None:
    """Remember something of a source, and forget the one that was remembered first when there are too many."""
    if source not in known and len(known) >= MOST_SOURCES:
        del known[next(iter(known))]
    known[source] = item
