"""Schedules at work, on clocks that the test sets: the machine's by time-machine, the one that nobody sets by hand."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine

from autohands import storage
from autohands.protocols.errors import BadRequest, ConfigError
from autohands.protocols.schedule import Due, Fire, Occurrence, PauseSchedule, RemoveSchedule, ResumeSchedule, Schedule
from autohands.protocols.task import Task
from autohands.runloop.schedules import MOST_ROWS, Schedules, plan, sync
from autohands.storage import Store
from autohands.testing.contracts.durable import DONE, Durable
from autohands.testing.contracts.schedules import FAILED, finish

START = "2026-07-01T12:00:30+00:00"
HOUR = 3600.0
DAY = 86_400.0


class House:
    """A database, a program that fires what is due in it, and both clocks."""

    def __init__(self, store: Store, traveller: time_machine.Traveller) -> None:
        self.store = store
        self.durable = Durable(store, store.journal, store.engine)
        self._traveller = traveller
        self.elapsed = 0.0
        self.program = self.start()

    def start(self) -> Schedules:
        """A new program on the same database."""
        self.program = Schedules(self.store, elapsed=lambda: self.elapsed)
        return self.program

    async def add(self, name: str = "tick", kind: Any = "cron", when: str = "* * * * *", **fields: Any) -> None:
        """Keep a schedule."""
        task = fields.pop("task", Task(prompt="look around"))
        await self.store.commit(plan(Schedule(name=name, kind=kind, when=when, task=task, **fields)))

    def set_clock(self, seconds: float) -> None:
        """Set the machine's clock forward or back: nothing passes."""
        self._traveller.shift(seconds)

    def set_clock_to(self, text: str) -> None:
        self._traveller.move_to(datetime.fromisoformat(text), tick=False)

    async def pass_time(self, seconds: float) -> float:
        """Let time pass, then look."""
        self._traveller.shift(seconds)
        self.elapsed += seconds
        return await self.program.look()

    async def history(self, name: str = "tick") -> list[Occurrence]:
        """Oldest first."""
        return list(reversed(await self.store.schedules.history(name, 10_000)))

    async def fired(self, name: str = "tick") -> list[str]:
        """The times that were fired."""
        return [shown(each.at) for each in await self.history(name) if each.state == "fired"]

    async def next_at(self, name: str = "tick") -> str | None:
        due = (await self.store.schedules.get(name)).next_at
        return None if due is None else shown(due)


def shown(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


@pytest.fixture
def traveller() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime.fromisoformat(START), tick=False) as traveller:
        yield traveller


@pytest.fixture
async def house(tmp_path: Path, traveller: time_machine.Traveller) -> AsyncIterator[House]:
    async with storage.open(tmp_path / "home" / "autohands.db") as store:
        yield House(store, traveller)


async def test_what_is_due_is_fired_on_time_and_never_early(house: House) -> None:
    await house.add()
    assert await house.pass_time(29.9) == pytest.approx(0.1, abs=0.01)
    assert await house.fired() == []
    await house.pass_time(0.1)
    assert await house.fired() == ["2026-07-01 12:01:00"]
    (task,) = await house.store.tasks()
    assert (task.task.source, task.task.idempotency_key) == ("schedule", "tick@2026-07-01T12:01:00Z")


async def test_it_wakes_for_a_new_schedule_and_fires_what_is_due(tmp_path: Path) -> None:
    """On the real clocks, to the end."""
    async with storage.open(tmp_path / "autohands.db") as store:
        running = asyncio.ensure_future(Schedules(store).run())
        with store.listen("ended"), store.listen("schedules") as bell:
            await store.commit(plan(Schedule(name="soon", kind="interval", when="1s", task=Task(prompt="x"))))
            async with asyncio.timeout(20):
                await bell.wait()
                while not (found := await store.schedules.history("soon")):
                    await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert found[-1].created >= found[-1].at


# --- TI03: catching up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "states"),
    [
        ("skip", {"missed": 12}),
        ("once", {"superseded": 11, "fired": 1}),
        ("all", {"missed": 7, "fired": 5}),
    ],
)
async def test_ti03_three_hours_down_over_twelve_times(house: House, catch_up: Any, states: dict[str, int]) -> None:
    await house.add(when="*/15 * * * *", catch_up=catch_up, catch_up_most=5)
    house.start()
    await house.pass_time(3 * HOUR + 90)
    history = await house.history()
    assert Counter(each.state for each in history) == states
    assert [shown(each.at)[11:16] for each in history][::11] == ["12:15", "15:00"]
    assert all(each.reason for each in history)
    if "fired" in states:
        assert history[-1].state == "fired"
    house.start()
    await house.pass_time(1)
    assert len(await house.history()) == 12
    assert len({task.task.idempotency_key for task in await house.store.tasks()}) == states.get("fired", 0)


async def test_ti03_a_time_that_is_a_little_late_is_no_missed_one(house: House) -> None:
    await house.add(catch_up="skip")
    await house.pass_time(30 + 59)
    assert await house.fired() == ["2026-07-01 12:01:00"]


async def test_ti03_two_programs_fire_each_time_once(house: House) -> None:
    await house.add(when="*/15 * * * *", overlap="allow")
    one, other = house.start(), house.start()
    for _ in range(4):
        await house.pass_time(15 * 60)
        await asyncio.gather(one.look(), other.look())
    assert len(await house.fired()) == 4
    assert len(await house.store.tasks()) == 4


async def test_a_year_of_missed_minutes_leaves_few_rows_that_say_how_many(house: House) -> None:
    await house.add(catch_up="skip")
    house.start()
    await house.pass_time(365 * DAY)
    history = await house.history()
    assert MOST_ROWS <= len(history) <= 2 * MOST_ROWS
    assert history[0].reason.startswith("over 1,000 times up to 2027-07-01")
    await house.add("hourly", "interval", "1h", catch_up="skip")
    await house.pass_time(1000 * HOUR + 90)
    history = await house.history("hourly")
    summary, rows = history[0], history[1:]
    assert int(summary.reason.split()[0]) + len(rows) == 1000


async def test_once_is_over_after_its_time_and_made_up_for(house: House) -> None:
    await house.add("late", "once", "2026-07-01T13:00:00Z")
    await house.add("skipped", "once", "2026-07-01T13:00:00Z", catch_up="skip")
    await house.pass_time(8 * HOUR)
    for name, state in (("late", "fired"), ("skipped", "missed")):
        assert [each.state for each in await house.history(name)] == [state]
        record = await house.store.schedules.get(name)
        assert (record.state, record.next_at) == ("over", None)


# --- TI04, TI05: clocks --------------------------------------------------------------------------------------------


async def test_ti04_an_hour_forward_is_caught_up_with_once_and_intervals_do_not_notice(house: House) -> None:
    await house.add(when="*/10 * * * *")
    await house.add("every", "interval", "20m")
    await house.pass_time(5)
    house.set_clock(HOUR)
    await house.pass_time(5)
    assert await house.fired() == ["2026-07-01 13:00:00"]
    assert await house.fired("every") == []
    await house.pass_time(20 * 60 - 11)
    assert await house.fired("every") == []
    await house.pass_time(1)
    assert len(await house.fired("every")) == 1


@pytest.mark.parametrize("back", [HOUR, 365 * DAY, 56 * 365 * DAY])
async def test_ti04_a_clock_put_back_repeats_nothing_and_starves_nobody(house: House, back: float) -> None:
    await house.add(when="*/10 * * * *", overlap="allow")
    await house.add("every", "interval", "20m", overlap="allow")
    for _ in range(6):
        await house.pass_time(10 * 60)
    before = [await house.history(name) for name in ("tick", "every")]
    house.set_clock(-back)
    await house.pass_time(0)
    for _ in range(6):
        await house.pass_time(10 * 60)
    await house.pass_time(1)
    after = [await house.history(name) for name in ("tick", "every")]
    assert [len({each.at for each in rows}) for rows in after] == [len(rows) for rows in after]
    assert len(after[1]) == len(before[1]) + 3
    assert len(after[0]) == len(before[0]) + (0 if back == HOUR else 6)
    assert len(await house.store.tasks(limit=1000)) == len(await house.fired()) + len(await house.fired("every"))


@pytest.mark.parametrize("to", ["1970-01-01T00:00:20+00:00", "2039-01-01T00:00:20+00:00", "2107-01-01T00:00:20+00:00"])
async def test_ti04_any_year_will_do_also_after_a_restart(house: House, to: str) -> None:
    await house.add(when="*/10 * * * *")
    await house.add("every", "interval", "20m")
    house.set_clock_to(to)
    house.start()
    await house.pass_time(1)
    for task in await house.store.tasks():
        await finish(house.durable, task.id)
    storm = len(await house.store.tasks())
    assert storm <= 2
    for _ in range(3):
        await house.pass_time(20 * 60)
    assert len(await house.store.tasks(limit=1000)) >= storm + 2
    assert (await house.next_at() or "")[:4] == to[:4]


async def test_ti05_eight_hours_of_sleep_are_made_up_for_once(house: House) -> None:
    await house.add(when="*/10 * * * *")
    await house.add("every", "interval", "20m")
    await house.pass_time(60)
    await house.pass_time(8 * HOUR)
    for name in ("tick", "every"):
        assert len(await house.fired(name)) == 1


async def test_a_clock_that_is_not_set_moves_nothing(house: House) -> None:
    """The twin of TI04: drift below two seconds is no jump."""
    await house.add("every", "interval", "20m")
    due = await house.next_at("every")
    for _ in range(100):
        house.set_clock(1.0)
        await house.pass_time(1)
    assert await house.next_at("every") == due


# --- TI07, TI08, TI10, BU08 ----------------------------------------------------------------------------------------


async def test_ti07_a_job_longer_than_its_period_is_left_out_until_it_has_ended(house: House) -> None:
    await house.add()
    for _ in range(4):
        await house.pass_time(60)
    history = await house.history()
    assert [each.state for each in history] == ["fired", "skipped", "skipped", "skipped"]
    await finish(house.durable, history[0].task)
    await house.pass_time(60)
    assert len(await house.fired()) == 2


async def test_ti08_many_in_the_same_minute_are_spread_by_their_jitter_the_same_for_everybody(house: House) -> None:
    count = 200
    changes = [
        plan(Schedule(name=f"s{n}", kind="cron", when="0 13 * * *", task=Task(prompt="x"), jitter_seconds=60))
        for n in range(count)
    ]
    await house.store.commit(*changes)
    await house.pass_time(HOUR - 30)
    tasks = await house.store.tasks(limit=1000)
    due = round(datetime.fromisoformat("2026-07-01T13:00:00+00:00").timestamp() * 1000)
    starts = {task.task.idempotency_key: task.task.not_before or due for task in tasks}
    assert len(starts) == count
    assert all(due <= start <= due + 60_000 for start in starts.values())
    assert len({start // 6000 for start in starts.values()}) >= 10
    assert starts["s7@2026-07-01T13:00:00Z"] == due + 22_287


async def test_ti08_without_jitter_they_start_at_once(house: House) -> None:
    await house.add()
    await house.pass_time(30)
    assert [(task.state, task.task.not_before) for task in await house.store.tasks()] == [("ready", None)]


async def test_ti10_a_schedule_keeps_its_zone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.add(when="0 9 * * *", timezone="Asia/Tokyo")
    assert await house.next_at() == "2026-07-02 00:00:00"
    monkeypatch.setenv("TZ", "America/New_York")
    house.start()
    await house.pass_time(12 * HOUR)
    assert await house.fired() == ["2026-07-02 00:00:00"]
    assert await house.next_at() == "2026-07-03 00:00:00"


async def test_bu08_a_job_that_fails_each_minute_for_a_day_is_paused_with_one_alert(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.add(task=Task(prompt="fail", reply_address="chat:1"))
    with caplog.at_level(logging.ERROR):
        for _ in range(1440):
            await house.pass_time(60)
            for task in await house.store.tasks(states=["ready"]):
                await finish(house.durable, task.id, FAILED)
    record = await house.store.schedules.get("tick")
    assert (record.state, record.failures) == ("paused", 5)
    assert len(await house.fired()) == 5
    assert len([each for each in caplog.records if "is paused" in each.getMessage()]) == 1
    messages = [message.text for message in await house.store.outbox.all(limit=1000)]
    assert len([text for text in messages if text.startswith("Schedule tick is paused")]) == 1
    assert len(messages) <= 6


async def test_bu08_what_never_pauses_backs_off(house: House) -> None:
    """The twin: without a limit nobody is alerted, and it is tried ever more rarely."""
    await house.add(max_failures=0)
    for _ in range(1440):
        await house.pass_time(60)
        for task in await house.store.tasks(states=["ready"]):
            await finish(house.durable, task.id, FAILED)
    assert (await house.store.schedules.get("tick")).state == "active"
    assert 8 <= len(await house.fired()) <= 12
    skipped = [each for each in await house.history() if each.state == "skipped"]
    assert len(skipped) + len(await house.fired()) == 1440


# --- what makes no sense (any more) --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"when": "61 * * * *"}, "minute '61'"),
        ({"when": "* * * * *", "timezone": "Mars"}, "timezone 'Mars'"),
        ({"kind": "interval", "when": "0s"}, "no interval"),
        ({"kind": "once", "when": "soon"}, "no time"),
        ({"when": "* * * * *", "task": Task()}, "the prompt is empty"),
        ({"when": "* * * * *", "jitter_seconds": -1}, "jitter"),
        ({"when": "* * * * *", "jitter_seconds": float("nan")}, "jitter"),
        ({"when": "* * * * *", "catch_up_most": 0}, "catch up"),
        ({"when": "* * * * *", "catch_up_most": 1001}, "catch up"),
        ({"when": "* * * * *", "max_failures": -1}, "failures"),
    ],
)
def test_ti06_what_makes_no_sense_is_refused_when_it_is_saved(fields: dict[str, Any], reason: str) -> None:
    wanted = {"name": "x", "kind": "cron", "task": Task(prompt="x"), **fields}
    with pytest.raises(BadRequest, match=reason):
        plan(Schedule(**wanted))


async def test_cr17_a_damaged_schedule_is_paused_and_the_others_go_on(house: House, tmp_path: Path) -> None:
    from storage.stores import tables

    for name in ("a", "broken", "lost", "z"):
        await house.add(name)
    with tables(tmp_path / "home" / "autohands.db") as connection:
        connection.execute("UPDATE schedule SET schedule = X'00FF' WHERE name = 'broken'")
        gone = b'{"kind":"cron","name":"lost","task":{},"timezone":"Gone/Away","when":"* * * * *"}'
        connection.execute("UPDATE schedule SET schedule = ? WHERE name = 'lost'", (gone,))
    await house.pass_time(60)
    assert [len(await house.fired(name)) for name in ("a", "broken", "lost", "z")] == [1, 0, 0, 1]
    record = await house.store.schedules.get("broken")
    assert (record.state, "cannot be read" in record.reason) == ("paused", True)
    assert "Gone/Away" in (await house.store.schedules.get("lost")).reason
    await house.store.commit(RemoveSchedule(name="broken"))


# --- the configuration ---------------------------------------------------------------------------------------------


def configured(name: str, when: str = "0 7 * * *", **fields: Any) -> Schedule:
    return Schedule(name=name, kind="cron", when=when, task=Task(prompt="x"), **fields)


async def test_configured_schedules_follow_the_configuration(house: House) -> None:
    await house.add("mine")
    await sync(house.store, [configured("a"), configured("b")])
    await house.store.commit(PauseSchedule(name="a", reason="by owner"))
    await sync(house.store, [configured("a"), configured("b", "0 8 * * *"), configured("c")])
    records = {record.schedule.name: record for record in await house.store.schedules.all()}
    assert {name: record.schedule.origin for name, record in records.items()} == {
        "a": "config", "b": "config", "c": "config", "mine": "owner",
    }  # fmt: skip
    assert records["a"].state == "paused"
    assert shown(records["b"].next_at or 0) == "2026-07-02 08:00:00"
    await sync(house.store, [])
    assert [record.schedule.name for record in await house.store.schedules.all()] == ["mine"]


async def test_a_wrong_configuration_changes_nothing_and_names_all_that_is_wrong(house: House) -> None:
    await house.add("mine")
    await sync(house.store, [configured("a")])
    wrong = [
        configured("b"),
        configured("c", "61 * * * *"),
        configured("d", timezone="Europe/Berln"),
        configured("mine"),
    ]
    with pytest.raises(ConfigError) as refused:
        await sync(house.store, wrong)
    lines = refused.value.text.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["schedules.c", "schedules.d", "schedules.mine"]
    assert "Europe/Berlin" in lines[1]
    assert {record.schedule.name for record in await house.store.schedules.all()} == {"a", "mine"}


async def test_a_configured_time_that_is_over_is_no_error(house: House) -> None:
    past = Schedule(name="past", kind="once", when="2020-01-01T00:00Z", task=Task(prompt="x"))
    await sync(house.store, [past])
    assert (await house.store.schedules.get("past")).state == "over"


async def test_pausing_lets_times_pass_without_a_trace(house: House) -> None:
    await house.add()
    await house.store.commit(PauseSchedule(name="tick"))
    await house.pass_time(HOUR)
    record = await house.store.schedules.get("tick")
    await house.store.commit(ResumeSchedule(name="tick", next_at=plan(record.schedule).next_at))
    await house.pass_time(30)
    assert [each.state for each in await house.history()] == ["fired"]
    await finish(house.durable, (await house.history())[0].task, DONE)


async def test_after_a_long_absence_others_run_between_one_schedule_and_the_next(house: House) -> None:
    for number in range(20):
        await house.add(f"s{number}", catch_up="skip")
    running, turns = True, 0

    async def others() -> None:
        nonlocal turns
        while running:
            turns += 1
            await asyncio.sleep(0)

    looking = asyncio.ensure_future(house.pass_time(DAY))
    beside = asyncio.ensure_future(others())
    await looking
    running = False
    await beside
    assert turns >= 20


async def test_one_that_is_removed_meanwhile_holds_no_other_up(house: House) -> None:
    await house.add()
    told: list[Occurrence] = []
    program = Schedules(house.store, told=told.append)
    at = (await house.store.schedules.get("tick")).next_at or 0
    fire = Fire(name="tick", expected=at, due=(Due(at=at),), next_at=at + 60_000)
    await program._commit([PauseSchedule(name="gone"), fire])
    assert [each.at for each in told] == [at]


async def test_what_was_settled_is_told_though_another_one_fails(house: House) -> None:
    await house.add()
    told: list[Occurrence] = []
    program = Schedules(house.store, told=told.append)
    at = (await house.store.schedules.get("tick")).next_at or 0
    fire = Fire(name="tick", expected=at, due=(Due(at=at),), next_at=at + 60_000)
    with pytest.raises(BadRequest):
        await program._commit([Fire(name="tick", expected=1 << 70, due=(), next_at=None), fire])
    assert [each.at for each in told] == [at]
