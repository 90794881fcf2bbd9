"""What every `Storage` must do with schedules: subclass the class, give it a fixture `durable` as for the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from autohands.protocols.changes import Cancel, Finish
from autohands.protocols.context import Labels
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.schedule import (
    Due,
    Fire,
    Occurrence,
    PauseSchedule,
    RemoveSchedule,
    ResumeSchedule,
    SaveSchedule,
    Schedule,
    ScheduleRecord,
)
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task
from autohands.testing.contracts.durable import DONE, PATIENCE_SECONDS, Durable, serve

T0 = 1_800_000_000_000
MINUTE = 60_000
FAILED = Finish(state="failed", reason="failed", error="no luck")


def minutely(name: str = "tick", **fields: Any) -> Schedule:
    """A schedule at each minute."""
    task = fields.pop("task", Task(prompt="look around"))
    return Schedule(name=name, kind="cron", when="* * * * *", task=task, **fields)


async def save(durable: Durable, schedule: Schedule, next_at: int | None = T0, **fields: Any) -> ScheduleRecord:
    """Keep a schedule that is due at `T0`."""
    change = SaveSchedule(schedule=schedule, next_at=next_at, **fields)
    record: ScheduleRecord = (await durable.storage.commit(change))[0]
    return record


async def fire(durable: Durable, at: int = T0, name: str = "tick", *, dues: tuple[Due, ...] = ()) -> list[Occurrence]:
    """Fire one time, or several, due next a minute later."""
    dues = dues or (Due(at=at),)
    change = Fire(name=name, expected=at, due=dues, next_at=dues[-1].at + MINUTE)
    written: list[Occurrence] = (await durable.storage.commit(change))[0]
    return written


async def finish(durable: Durable, task: str | None, end: Finish = DONE) -> None:
    """Run a task to its end."""

    async def handler(lease: Lease) -> None:
        await lease.commit(end)

    assert task
    await serve(durable, task, handler)


class SchedulesContract:
    """`Storage`'s schedules: kept, fired once, overlap, failures, confirmation."""

    async def test_a_schedule_is_kept_listed_and_removed(self, durable: Durable) -> None:
        for name, at in (("later", T0 + 1), ("tick", T0), ("never", None)):
            await save(durable, minutely(name), at)
        query = durable.storage.schedules
        assert [record.schedule.name for record in await query.all()] == ["later", "never", "tick"]
        assert await query.get("tick") == ScheduleRecord(
            schedule=minutely(),
            next_at=T0,
            created=(await query.get("tick")).created,
            updated=(await query.get("tick")).updated,
        )
        assert (await query.get("never")).state == "over"
        assert await query.next_due() == T0
        assert [record.schedule.name for record in await query.due(T0)] == ["tick"]
        assert [record.schedule.name for record in await query.due(T0 + 1)] == ["tick", "later"]
        assert len(await query.due(T0 + 1, limit=1)) == 1
        await fire(durable)
        await durable.storage.commit(RemoveSchedule(name="tick"))
        with pytest.raises(NotFound) as missing:
            await query.history("tock")
        with pytest.raises(NotFound):
            await durable.storage.commit(RemoveSchedule(name="tick"))
        assert missing.value.hint

    async def test_names_are_taken_once_and_replaced_on_purpose(self, durable: Durable) -> None:
        await save(durable, minutely())
        with pytest.raises(Conflict):
            await save(durable, minutely(overlap="allow"))
        await durable.storage.commit(PauseSchedule(name="tick"))
        written = await fire(durable)
        replaced = await save(durable, minutely(overlap="allow"), T0 + 1, replace=True)
        assert (written, replaced.schedule.overlap, replaced.state, replaced.next_at) == ([], "allow", "active", T0 + 1)
        for name in ("", "a b", "a@b", "../a", "x" * 65):
            with pytest.raises(BadRequest):
                await save(durable, minutely(name))

    async def test_a_time_is_fired_once_whoever_comes_first(self, durable: Durable) -> None:
        await save(durable, minutely(overlap="allow"))
        many = await asyncio.gather(*(fire(durable) for _ in range(8)))
        assert Counter(map(len, many)) == {1: 1, 0: 7}
        (occurrence,) = await durable.storage.schedules.history("tick")
        assert (occurrence.id, occurrence.state, occurrence.task_state) == (
            "tick@2027-01-15T08:00:00Z",
            "fired",
            "ready",
        )
        task = await durable.storage.task(occurrence.task or "")
        assert (task.task.source, task.task.idempotency_key) == ("schedule", occurrence.id)
        assert (await durable.storage.schedules.get("tick")).next_at == T0 + MINUTE

    async def test_who_comes_too_late_puts_nothing_back(self, durable: Durable) -> None:
        await save(durable, minutely(overlap="allow"))
        await fire(durable)
        await fire(durable, T0 + MINUTE)
        late = Fire(name="tick", expected=T0, due=(Due(at=T0 - 1),), next_at=T0 + MINUTE)
        assert await durable.storage.commit(late) == [[]]
        assert (await durable.storage.schedules.get("tick")).next_at == T0 + 2 * MINUTE
        assert len(await durable.storage.tasks()) == 2

    async def test_a_time_that_has_a_row_is_passed_over(self, durable: Durable) -> None:
        await save(durable, minutely(overlap="allow"))
        await fire(durable)
        await durable.storage.commit(Fire(name="tick", expected=T0 + MINUTE, due=(), next_at=T0))
        assert [each.at for each in await fire(durable, dues=(Due(at=T0), Due(at=T0 + MINUTE)))] == [T0 + MINUTE]
        assert len(await durable.storage.tasks()) == 2

    async def test_what_is_not_fired_is_written_down(self, durable: Durable) -> None:
        await save(durable, minutely())
        missed = Due(at=T0, state="missed", reason="asleep")
        await fire(durable, dues=(missed, Due(at=T0 + 1, state="superseded"), Due(at=T0 + 2, not_before=T0 * 2)))
        rows = await durable.storage.schedules.history("tick")
        assert [(each.state, each.reason, each.task_state) for each in rows] == [
            ("fired", "", "delayed"),
            ("superseded", "", None),
            ("missed", "asleep", None),
        ]
        assert len(await durable.storage.schedules.history("tick", 2)) == 2

    @pytest.mark.parametrize(
        ("overlap", "states"),
        [
            ("forbid", ["fired", "skipped", "skipped", "fired"]),
            ("queue", ["fired", "fired", "skipped", "fired"]),
            ("allow", ["fired"] * 4),
        ],
    )
    async def test_ti07_overlap(self, durable: Durable, overlap: Any, states: list[str]) -> None:
        await save(durable, minutely(overlap=overlap))
        written = [(await fire(durable, T0 + n * MINUTE))[0] for n in range(3)]
        for occurrence in written:
            if occurrence.task:
                await finish(durable, occurrence.task)
        written += await fire(durable, T0 + 3 * MINUTE)
        assert [each.state for each in written] == states
        assert all(each.reason for each in written if each.state == "skipped")

    async def test_ti07_a_queued_time_waits_for_the_one_before_it(self, durable: Durable) -> None:
        await save(durable, minutely(overlap="queue"))
        first, second = [(await fire(durable, T0 + n * MINUTE))[0].task or "" for n in range(2)]
        assert (await durable.storage.task(second)).state != "ready"
        await finish(durable, first)
        assert (await durable.storage.task(second)).state == "ready"

    async def test_times_made_up_for_run_one_after_another(self, durable: Durable) -> None:
        await save(durable, minutely())
        written = await fire(durable, dues=(Due(at=T0), Due(at=T0 + 1), Due(at=T0 + 2)))
        assert [each.task_state for each in written].count("ready") == 1
        for occurrence in written:
            await finish(durable, occurrence.task)
        assert {each.task_state for each in await durable.storage.schedules.history("tick")} == {"done"}

    @pytest.mark.parametrize(
        ("task", "reason"),
        [(Task(prompt="x", session="ses_unknown"), "ses_unknown"), (Task(prompt="x", session="s", priority=99), "99")],
    )
    async def test_a_task_that_is_refused_is_a_missed_time(self, durable: Durable, task: Task, reason: str) -> None:
        await save(durable, minutely(task=task))
        (occurrence,) = await fire(durable)
        assert (occurrence.state, occurrence.task, reason in occurrence.reason) == ("missed", None, True)
        assert (await durable.storage.schedules.get("tick")).next_at == T0 + MINUTE
        assert await durable.storage.tasks() == []
        assert await durable.storage.sessions() == []

    async def test_failures_back_off_and_pause(self, durable: Durable) -> None:
        await save(durable, minutely(max_failures=2))
        (first,) = await fire(durable)
        await finish(durable, first.task, FAILED)
        record = await durable.storage.schedules.get("tick")
        assert (record.failures, record.state) == (1, "active")
        assert record.backoff_until
        (second,) = await fire(durable, T0 + MINUTE)
        assert (second.state, "1 failed" in second.reason) == ("skipped", True)
        (resumed,) = await durable.storage.commit(ResumeSchedule(name="tick", next_at=T0))
        assert (resumed.failures, resumed.backoff_until, resumed.next_at) == (0, None, T0 + 2 * MINUTE)
        assert (await fire(durable, T0 + 2 * MINUTE))[0].state == "fired"

    async def test_success_and_cancellation_are_no_failures(self, durable: Durable) -> None:
        await save(durable, minutely(max_failures=1))
        (first,) = await fire(durable)
        await durable.storage.commit(Cancel(task=first.task or ""))
        (second,) = await fire(durable, T0 + MINUTE)
        await finish(durable, second.task)
        record = await durable.storage.schedules.get("tick")
        assert (record.failures, record.backoff_until, record.state) == (0, None, "active")

    async def test_too_many_failures_pause_with_the_reason_until_it_is_resumed(self, durable: Durable) -> None:
        await save(durable, minutely(max_failures=1))
        (first,) = await fire(durable)
        await finish(durable, first.task, FAILED)
        record = await durable.storage.schedules.get("tick")
        assert (record.state, "no luck" in record.reason, (first.task or "") in record.reason) == ("paused", True, True)
        assert await fire(durable, T0 + MINUTE) == []
        assert await durable.storage.schedules.next_due() is None
        (resumed,) = await durable.storage.commit(ResumeSchedule(name="tick", next_at=T0 + 2 * MINUTE))
        assert (resumed.state, resumed.failures, resumed.reason) == ("active", 0, "")
        assert (await fire(durable, T0 + 2 * MINUTE))[0].state == "fired"

    async def test_zero_is_never_pause(self, durable: Durable) -> None:
        await save(durable, minutely(max_failures=0))
        (first,) = await fire(durable)
        await finish(durable, first.task, FAILED)
        assert (await durable.storage.schedules.get("tick")).state == "active"

    @pytest.mark.parametrize("labels", [Labels(untrusted=True), Labels(integrity="untrusted")])
    async def test_ti09_a_tainted_schedule_waits_for_a_person(self, durable: Durable, labels: Labels) -> None:
        task = Task(prompt="x", labels=labels, tools=("read_file",))
        record = await save(durable, minutely(task=task))
        assert (record.state, bool(record.reason)) == ("unconfirmed", True)
        assert await durable.storage.schedules.due(T0 * 2) == []
        assert await fire(durable) == []
        await durable.storage.commit(ResumeSchedule(name="tick", next_at=T0))
        (occurrence,) = await fire(durable)
        made = (await durable.storage.task(occurrence.task or "")).task
        assert (made.labels, made.tools) == (labels, ("read_file",))

    async def test_ti09_a_clean_one_does_not(self, durable: Durable) -> None:
        record = await save(durable, minutely(task=Task(prompt="x", labels=Labels(integrity="agent", private=True))))
        assert record.state == "active"

    async def test_a_schedule_that_is_over_stays_over(self, durable: Durable) -> None:
        await save(durable, minutely())
        await durable.storage.commit(Fire(name="tick", expected=T0, due=(Due(at=T0),), next_at=None))
        (record,) = await durable.storage.commit(PauseSchedule(name="tick"))
        assert (record.state, record.next_at) == ("over", None)
        with pytest.raises(Conflict):
            await durable.storage.commit(ResumeSchedule(name="tick", next_at=None))

    async def test_those_who_wait_hear_of_a_new_schedule(self, durable: Durable) -> None:
        with durable.storage.listen("schedules") as bell:
            await save(durable, minutely())
            async with asyncio.timeout(PATIENCE_SECONDS):
                await bell.wait()
