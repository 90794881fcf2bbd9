"""The rows of time, from outside: what the command line says, and programs that are killed while they fire."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.schedule import Occurrence, SaveSchedule, Schedule
from autohands.protocols.task import Task
from autohands.sdk.failpoint import VARIABLE
from autohands.sdk.identity import now_ms

from .processes import WAIT_SECONDS, autohands, environment

pytestmark = pytest.mark.slow

FIRING = Path(__file__).with_name("firing.py")
QUARTER_MS = 900_000
TIMES = 12


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    return environment(home)


def preview(env: dict[str, str], cwd: Path, expression: str, *arguments: str) -> list[str]:
    done = autohands("schedule", "preview", expression, *arguments, "--json", env=env, cwd=cwd)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)["occurrences"]
    return found


def test_ti01_ti02_preview_shows_what_clock_changes_do(env: dict[str, str], workspace: Path) -> None:
    berlin = ("--timezone", "Europe/Berlin", "--count", "2", "--after")
    assert preview(env, workspace, "30 2 * * *", *berlin, "2027-03-27T12:00:00+01:00") == [
        "2027-03-28T03:00:00+02:00",
        "2027-03-29T02:30:00+02:00",
    ]
    assert preview(env, workspace, "30 2 * * *", *berlin, "2026-10-25T00:00") == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]
    both = preview(env, workspace, "*/30 * * * *", *berlin, "2026-10-25T02:15:00+02:00")
    assert both == ["2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("preview", "0 0 * * *", "--timezone", "Europe/Berln"), "timezone 'Europe/Berln'"),
        (("add", "x", "--cron", "*/0 * * * *", "--prompt", "p"), "a step of 0"),
        (("add", "x", "--every", "5", "--prompt", "p"), "no interval"),
        (("add", "x", "--at", "2031-01-01T00:00", "--prompt", "p"), "no offset"),
        (("add", "x", "--at", "2020-01-01T00:00Z", "--prompt", "p"), "is over"),
        (("add", "a b", "--every", "5m", "--prompt", "p"), "cannot name a schedule"),
        (("add", "x", "--every", "5m", "--cron", "* * * * *", "--prompt", "p"), "say when"),
        (("add", "x", "--every", "5m", "--prompt", "p", "--catch-up-most", "0"), "catch up"),
        (("show", "nobody"), "no schedule 'nobody'"),
    ],
)
def test_ti06_what_makes_no_sense_is_refused(
    env: dict[str, str], workspace: Path, arguments: tuple[str, ...], reason: str
) -> None:
    done = autohands("schedule", *arguments, "--json", env=env, cwd=workspace)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in json.loads(done.stderr)["error"]["message"]


def test_ti10_a_schedule_keeps_the_zone_of_the_machine_that_it_was_made_on(
    env: dict[str, str], workspace: Path
) -> None:
    tokyo, new_york = {**env, "TZ": "Asia/Tokyo"}, {**env, "TZ": "America/New_York"}
    add = ("schedule", "add", "early", "--cron", "0 6 * * *", "--json", "--", "Good", "morning")
    added = json.loads(autohands(*add, env=tokyo, cwd=workspace).stdout)
    assert (added["timezone"], added["prompt"], added["served"]) == ("Asia/Tokyo", "Good morning", False)
    shown = json.loads(autohands("schedule", "show", "early", "--json", env=new_york, cwd=workspace).stdout)
    assert shown["timezone"] == "Asia/Tokyo"
    assert datetime.fromisoformat(shown["next"]) == datetime.fromisoformat(added["next"])
    assert datetime.fromisoformat(shown["next"]).astimezone().utctimetuple().tm_hour == 21


def test_a_schedule_through_its_life(env: dict[str, str], workspace: Path) -> None:
    def say(*arguments: str) -> str:
        done = autohands("schedule", *arguments, env=env, cwd=workspace)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert "`autohands serve`" in say("add", "tick", "--every", "15m", "--prompt", "Look", "--jitter", "30s", "--yes")
    assert "`autohands schedule add" not in say("list")
    shown = json.loads(say("show", "tick", "--json"))
    assert (shown["jitter_seconds"], shown["consent"], shown["workspace"]) == (30.0, "workspace", str(workspace))
    taken = autohands("schedule", "add", "tick", "--every", "1h", "--prompt", "x", env=env, cwd=workspace)
    assert (taken.returncode, "already" in taken.stderr) == (1, True)
    assert json.loads(say("add", "tick", "--every", "1h", "--prompt", "Look", "--replace", "--json"))["when"] == "1h"
    assert "paused" in say("pause", "tick")
    assert json.loads(say("list", "--json"))["items"][0]["state"] == "paused"
    assert "active" in say("resume", "tick")
    task = json.loads(say("run", "tick", "--json"))["task"]
    told = json.loads(autohands("task", "show", task, "--json", env=env, cwd=workspace).stdout)
    assert (told["prompt"], told["source"], told["state"]) == ("Look", "schedule", "ready")
    assert json.loads(say("history", "tick", "--json")) == {"items": []}
    assert "removed" in say("remove", "tick")
    assert json.loads(say("list", "--json")) == {"items": []}


# --- killed while it fires -----------------------------------------------------------------------------------------


async def late(database: Path) -> None:
    """A schedule that was due twelve times while nobody was there, each of which is to be made up for."""
    schedule = Schedule(
        name="q",
        kind="interval",
        when="15m",
        task=Task(prompt="x"),
        catch_up="all",
        catch_up_most=TIMES,
        overlap="allow",
    )
    async with storage.open(database) as store:
        await store.commit(SaveSchedule(schedule=schedule, next_at=now_ms() - TIMES * QUARTER_MS + 60_000))


def fire(database: Path, *, failpoint: str = "", patience: float = WAIT_SECONDS) -> int | None:
    """Run the program to its end; its status, or None if it had to be killed after `patience` seconds."""
    command = [sys.executable, str(FIRING), str(database), str(database.with_name("sink")), str(TIMES)]
    process = subprocess.Popen(command, env={**os.environ, VARIABLE: failpoint})
    with suppress(subprocess.TimeoutExpired):
        return process.wait(patience)
    process.kill()
    process.wait(WAIT_SECONDS)
    return None


async def history(database: Path) -> tuple[list[Occurrence], list[str | None]]:
    """What became of the times, and the keys of all tasks."""
    async with storage.open(database) as store:
        tasks = await store.tasks(limit=1000)
        return await store.schedules.history("q"), [task.task.idempotency_key for task in tasks]


@pytest.mark.parametrize("place", ["schedules.due", "schedules.fired", "schedules.settled", "engine.claimed"])
async def test_ti03_killed_between_claim_and_start_each_time_is_fired_once(tmp_path: Path, place: str) -> None:
    database = tmp_path / "home" / "autohands.db"
    await late(database)
    assert fire(database, failpoint=place) == -signal.SIGKILL
    assert fire(database) == 0
    occurrences, keys = await history(database)
    assert len(occurrences) == TIMES
    assert Counter((each.state, each.task_state) for each in occurrences) == {("fired", "done"): TIMES}
    assert sorted(keys, key=str) == sorted(each.id for each in occurrences)
    done = (database.with_name("sink")).read_text().split()
    assert set(done) == {each.id for each in occurrences}  # a handler that was killed in mid-work begins again


async def test_ti03_killed_at_random_each_time_is_fired_once(tmp_path: Path) -> None:
    database, dice = tmp_path / "home" / "autohands.db", random.Random(3)
    await late(database)
    killed = [fire(database, patience=dice.uniform(0.15, 0.6)) for _ in range(5)]
    assert fire(database) == 0 or 0 in killed
    occurrences, keys = await history(database)
    assert Counter(each.state for each in occurrences) == {"fired": TIMES}
    assert sorted(keys, key=str) == sorted(each.id for each in occurrences)
