"""What a schedule will cost: its times in 30 days, times the mean of its earlier runs."""

from __future__ import annotations

import pytest

from autohands.protocols.costs import Cost
from autohands.protocols.schedule import Kind, Schedule, ScheduleRecord
from autohands.protocols.task import Task
from autohands.runloop.forecast import forecast

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR = 3_600_000


def record(kind: Kind, when: str, **fields: object) -> ScheduleRecord:
    schedule = Schedule(name="s", kind=kind, when=when, task=Task(prompt="go"))
    return ScheduleRecord(schedule=schedule, **{"next_at": NOW + HOUR, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "when", "runs"),
    [
        ("interval", "6h", 120),
        ("interval", "1m", 43_141),
        ("cron", "0 7 * * *", 30),
        ("cron", "*/5 * * * *", 8_629),
        ("once", "2026-01-01T01:00:00+00:00", 1),
    ],
)
def test_the_times_of_thirty_days_are_counted(kind: Kind, when: str, runs: int) -> None:
    found = forecast(record(kind, when), Cost(key="s", spent=3000, reserved=1, runs=2), NOW)
    assert (found.runs, found.earlier, found.mean_micro_usd) == (runs, 2, 1501)
    assert found.micro_usd == runs * 1501


def test_what_has_not_run_yet_has_an_unknown_cost() -> None:
    assert forecast(record("interval", "6h"), None, NOW).micro_usd is None
    assert forecast(record("interval", "6h"), Cost(key="s"), NOW).micro_usd is None


@pytest.mark.parametrize("fields", [{"state": "paused"}, {"next_at": None}])
def test_what_does_not_run_costs_nothing(fields: dict[str, object]) -> None:
    assert forecast(record("interval", "6h", **fields), Cost(key="s", spent=10, runs=1), NOW).micro_usd == 0


def test_until_a_time_of_ones_own() -> None:
    assert forecast(record("interval", "1h"), Cost(key="s", spent=10, runs=1), NOW, NOW + 3 * HOUR).runs == 3
