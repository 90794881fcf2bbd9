"""What a schedule will cost: how often it comes in a month of 30 days, times what its runs have cost so far."""

from __future__ import annotations

from itertools import islice
from typing import Final

from msgspec import Struct

from autohands.protocols.costs import Cost
from autohands.protocols.schedule import ScheduleRecord
from autohands.runloop.when import times_of, walk

MONTH_DAYS: Final = 30
DAY_MS: Final = 86_400_000
_MOST_WALKED: Final = 500


class Forecast(Struct, frozen=True, kw_only=True):
    """How many runs there will be, and what one has cost in the mean of `earlier` ones: None if there were none."""

    runs: int
    earlier: int = 0
    mean_micro_usd: int | None = None

    @property
    def micro_usd(self) -> int | None:
        """What they come to; None if nobody knows."""
        if not self.runs:
            return 0
        return None if self.mean_micro_usd is None else self.runs * self.mean_micro_usd


def forecast(record: ScheduleRecord, past: Cost | None, now: int, until: int | None = None) -> Forecast:
    """What a schedule will cost from `now` to `until` (UTC ms; without it 30 days), after what it has cost in the past.

    Raises:
        BadRequest: Its times cannot be read.
    """
    earlier = past.runs if past else 0
    mean = -(-(past.spent + past.reserved) // earlier) if past and earlier else None
    end = now + MONTH_DAYS * DAY_MS if until is None else until
    return Forecast(runs=_runs(record, now, end), earlier=earlier, mean_micro_usd=mean)


def _runs(record: ScheduleRecord, now: int, until: int) -> int:
    """How many of its times lie before `until`; where there are many, what the first of them promise."""
    if record.state != "active" or record.next_at is None:
        return 0
    first = max(record.next_at, now)
    found = list(islice(walk(times_of(record.schedule, record.next_at), first, until), _MOST_WALKED))
    if len(found) < _MOST_WALKED:
        return len(found)
    return 1 + round((len(found) - 1) * (until - first) / (found[-1] - first))
