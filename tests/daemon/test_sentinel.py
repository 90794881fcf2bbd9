"""CR07: the sentinel, with an inspector and a sign of life that the tests make up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import autohands
from autohands.daemon.sentinel import Pace, Sentinel, read_report
from autohands.protocols.errors import StorageUnavailable
from autohands.protocols.schedule import SaveSchedule, Schedule
from autohands.protocols.task import Task
from autohands.protocols.watch import Finding
from autohands.runloop.schedules import Schedules
from autohands.sdk.identity import now_ms

AT_ONCE = Pace(look_seconds=0.01, stuck_seconds=0.05, settle_seconds=0)
LATE = Finding(kind="schedule", subject="daily", text="schedule daily is due", since=now_ms() - 60_000)


class Made:
    """An inspector that finds what it is told, and asks whether it is closed."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = list(findings)
        self.error: StorageUnavailable | None = None
        self.closed = False

    def look(self, now: int) -> list[Finding]:
        if self.error:
            raise self.error
        return self.findings

    def close(self) -> None:
        self.closed = True


async def alive() -> object:
    return None


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "sentinel.json"
    path.parent.mkdir()
    return path


async def until(look: Callable[[], object]) -> None:
    """Wait until something is so, letting the event loop run."""
    async with asyncio.timeout(20):
        while not look():
            await asyncio.sleep(0.01)


def test_what_is_new_is_said_once_and_that_it_is_over(report: Path, caplog: pytest.LogCaptureFixture) -> None:
    inspector = Made(LATE)
    sentinel = Sentinel(inspector, alive, report, AT_ONCE)
    assert sentinel.look() == sentinel.look() == [LATE]
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    assert caplog.messages[0].startswith("schedule daily is due (for ")
    assert read_report(report) == [LATE]
    inspector.findings = []
    assert sentinel.look() == []
    assert caplog.messages[1:] == ["no longer: schedule daily is due"]
    assert read_report(report) == []


def test_a_database_that_cannot_be_read_is_a_finding(report: Path, caplog: pytest.LogCaptureFixture) -> None:
    inspector = Made()
    inspector.error = StorageUnavailable("autohands.db: the file cannot be opened")
    (finding,) = Sentinel(inspector, alive, report, AT_ONCE).look()
    assert (finding.kind, finding.text) == ("storage", "autohands.db: the file cannot be opened")
    assert len(caplog.records) == 1


def test_it_gives_the_program_time_to_catch_up(report: Path) -> None:
    patient = Sentinel(Made(LATE), alive, report, Pace(settle_seconds=3600))
    assert patient.look() == []
    assert Sentinel(Made(LATE), alive, report, AT_ONCE).look() == [LATE]  # else it would have been found


async def test_cr07_a_loop_that_does_not_answer_is_found_with_its_stacks(
    report: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inspector, found = Made(), threading.Event()
    caplog.set_level(logging.WARNING)
    sentinel = Sentinel(inspector, alive, report, AT_ONCE)
    with sentinel.watching():
        await until(report.exists)
        assert read_report(report) == []

        def stuck() -> bool:
            return any(each.kind == "loop" for each in read_report(report))

        end = threading.Timer(20, found.set)
        end.start()
        while not stuck() and not found.is_set():
            found.wait(0.02)  # what a bad extension does
        end.cancel()
        assert stuck()
        assert "test_cr07_a_loop_that_does_not_answer" in report.with_name("stacks.txt").read_text()
        await until(lambda: read_report(report) == [])
    assert "no longer: the event loop or the database does not answer" in caplog.messages
    assert inspector.closed
    assert not report.exists()


async def test_cr07_a_sign_of_life_is_a_read_that_works(report: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def dead() -> object:
        raise StorageUnavailable("nobody reads")

    with Sentinel(Made(), dead, report, AT_ONCE).watching():
        await until(lambda: [each.text for each in read_report(report)] == ["nobody reads"])


async def test_it_outlives_its_directory_and_makes_none(report: Path, caplog: pytest.LogCaptureFixture) -> None:
    inspector = Made()
    with Sentinel(inspector, alive, report, AT_ONCE).watching():
        await until(report.exists)
        report.parent.rename(report.parent.with_name("elsewhere"))
        inspector.findings = [LATE]
        await until(lambda: any("daily" in each for each in caplog.messages))
        assert not report.parent.exists()
        report.parent.mkdir()
        await until(report.exists)


async def test_cr07_a_schedule_that_nobody_fires_is_told_until_somebody_does(
    home: Path, workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with autohands.open(home, workspace, shared=True) as hands:
        report = hands.paths.run / "sentinel.json"
        report.parent.mkdir(exist_ok=True)
        schedule = Schedule(name="daily", kind="cron", when="0 7 * * *", task=Task(prompt="x", model="nobody/x"))
        await hands.storage.commit(SaveSchedule(schedule=schedule, next_at=now_ms() - 60_000))
        with Sentinel(hands.inspector, hands.storage.queues.all, report, AT_ONCE).watching():
            await until(lambda: [each.subject for each in read_report(report)] == ["daily"])
            hands.loop.add_service("schedules", Schedules(hands.storage).run)
            await until(lambda: report.exists() and read_report(report) == [])
        assert [each for each in caplog.messages if each.startswith("no longer: schedule daily is due")]


def test_a_report_that_is_none_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.json"
    assert read_report(path) == []
    path.write_text("nonsense")
    assert read_report(path) == []
