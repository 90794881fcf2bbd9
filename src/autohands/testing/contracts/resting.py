"""How tasks must rest: subclass the class and give it a fixture `durable`, a fresh `Durable` for each test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from autohands.protocols.changes import AskApproval, BackOff, Cancel, Decide, Park, Pause, Redo, Signal
from autohands.protocols.errors import Conflict, Fenced, NotFound
from autohands.protocols.events import TaskWaiting
from autohands.protocols.storage import Lease
from autohands.protocols.task import TaskRecord
from autohands.sdk.identity import new_id, now_ms
from autohands.testing.contracts.durable import (
    DONE,
    PATIENCE_SECONDS,
    Durable,
    events_of,
    finish,
    model_step,
    question,
    serve,
    submit,
)

GO: Final = "signal:go"
LOOK_SECONDS: Final = 0.01


class RestingContract:
    """`Pause`, `Redo` of what is paused, `BackOff`."""

    async def test_what_is_ready_rests_at_once_and_holds_its_session(self, durable: Durable) -> None:
        record, behind = await submit(durable, session="s"), await submit(durable, session="s")
        assert [(await pause(durable, record)).state for _ in range(2)] == ["paused", "paused"]
        async with running(durable, finish):
            await serve(durable, (await submit(durable)).id, finish)
            assert await state(durable, record) == "paused"
            assert await state(durable, behind) == "blocked"
            assert (await redo(durable, record)).state == "ready"
            await events_of(durable, behind.id)
        assert await waited(durable, record) == ["paused"]

    async def test_what_runs_rests_at_its_next_step_boundary(self, durable: Durable) -> None:
        record = await submit(durable)
        told: list[bool] = []

        async def handler(lease: Lease) -> None:
            if lease.attempt > 1:
                told.append(lease.pausing)
                await lease.commit(DONE)
                return
            asked = await pause(durable, record)
            told.extend((asked.state == "running", asked.control == "pause", lease.pausing))
            lease.note(model_step())
            await lease.commit(Park(reason="paused", waits=()), event=TaskWaiting(reason="paused"))
            with pytest.raises(Fenced):
                await lease.commit()
            assert await state(durable, record) == "paused"
            await redo(durable, record)

        await serve(durable, record.id, handler)
        assert told == [True, True, True, False]
        assert await waited(durable, record) == ["paused"]
        assert (await durable.storage.task(record.id)).turns == 1

    async def test_a_pause_that_is_taken_back_holds_nothing_up(self, durable: Durable) -> None:
        record, behind = await submit(durable, session="s"), await submit(durable, session="s")
        assert (await pause(durable, behind)).control == "pause"
        assert (await redo(durable, behind)).control is None

        async def handler(lease: Lease) -> None:
            if lease.record.id == record.id and lease.attempt == 1:
                await pause(durable, record)
                assert (await redo(durable, record)).state == "running"
                await lease.commit(Park(reason="paused", waits=()))
            else:
                await lease.commit(DONE)

        async with running(durable, handler):
            await events_of(durable, behind.id)
        assert await waited(durable, behind) == []

    async def test_what_is_blocked_or_delayed_rests_when_its_turn_comes(self, durable: Durable) -> None:
        head, behind = await submit(durable, session="s"), await submit(durable, session="s")
        delayed = await submit(durable, not_before=now_ms() + 60)
        for record, name in ((behind, "blocked"), (delayed, "delayed")):
            asked = await pause(durable, record)
            assert (asked.state, asked.control) == (name, "pause")
        async with running(durable, finish):
            await events_of(durable, head.id)
            for record in (behind, delayed):
                await until(durable, record, "paused")
                assert await waited(durable, record) == ["paused"]
                assert (await redo(durable, record)).control is None
                await events_of(durable, record.id)

    @pytest.mark.parametrize("comes", ["before", "while", "after"])
    async def test_a_paused_task_keeps_what_it_waits_for(self, durable: Durable, comes: str) -> None:
        record = await submit(durable)
        signal = Signal(task=record.id, topic="go", payload={"n": 1})

        async def handler(lease: Lease) -> None:
            if lease.attempt > 1:
                await lease.commit(DONE)
                return
            if comes == "before":
                await pause(durable, record)
                await durable.storage.commit(signal)
            await lease.commit(Park(reason="signal", waits=(GO,)), event=TaskWaiting(reason="signal", waits=(GO,)))

        async with running(durable, handler):
            await until(durable, record, "paused" if comes == "before" else "waiting")
            if comes != "before":
                assert (await pause(durable, record)).waits == (GO,)
            if comes == "while":
                await durable.storage.commit(signal)
            assert await state(durable, record) == "paused"
            resumed = await redo(durable, record)
            assert resumed.state == ("waiting" if comes == "after" else "ready")
            assert resumed.waits == ((GO,) if comes == "after" else ())
            if comes == "after":
                await durable.storage.commit(signal)
            await events_of(durable, record.id)
        assert await durable.storage.signals(record.id) == {"go": {"n": 1}}
        assert await waited(durable, record) == ["signal", "paused"]

    async def test_an_answer_to_a_paused_task_is_kept(self, durable: Durable) -> None:
        record, approval = await submit(durable), new_id("apr")

        async def handler(lease: Lease) -> None:
            if lease.attempt > 1:
                await lease.commit(DONE)
            else:
                park = Park(reason="approval", waits=(f"approval:{approval}",))
                await lease.commit(AskApproval(approval=question(record.id, approval)), park)

        async with running(durable, handler):
            await until(durable, record, "waiting")
            await pause(durable, record)
            await durable.storage.commit(Decide(approval=approval, decision="allow", by="me"))
            assert await state(durable, record) == "paused"
            assert (await redo(durable, record)).state == "ready"
            await events_of(durable, record.id)

    async def test_time_that_passes_while_a_task_rests_has_passed(self, durable: Durable) -> None:
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            await lease.commit(DONE if lease.attempt > 1 else Park(reason="timer", waits=(), until=now_ms() + 50))

        async with running(durable, handler):
            await until(durable, record, "waiting")
            await pause(durable, record)
            other = await submit(durable, not_before=now_ms() + 100)
            await events_of(durable, other.id)
            assert await state(durable, record) == "paused"
            assert (await redo(durable, record)).state == "ready"
            await events_of(durable, record.id)

    async def test_a_paused_task_is_cancelled_and_what_has_ended_is_not_paused(self, durable: Durable) -> None:
        record, behind = await submit(durable, session="s"), await submit(durable, session="s")
        await pause(durable, record)
        assert (await durable.storage.commit(Cancel(task=record.id)))[0].state == "cancelled"
        assert await state(durable, behind) == "ready"
        with pytest.raises(Conflict, match="cancelled"):
            await pause(durable, record)
        with pytest.raises(NotFound):
            await durable.storage.commit(Pause(task="task_none"))

    async def test_a_passing_fault_puts_a_task_off(self, durable: Durable) -> None:
        record, behind = await submit(durable, session="s"), await submit(durable, session="s")
        seen: list[TaskRecord] = []

        async def handler(lease: Lease) -> None:
            if lease.record.id == record.id and lease.attempt == 1:
                lease.note(model_step())
                assert await lease.commit(BackOff(error="overloaded")) == [True]
                seen.append(await durable.storage.task(record.id))
                with pytest.raises(Fenced):
                    await lease.commit()
            else:
                await lease.commit(DONE)

        started = now_ms()
        async with running(durable, handler):
            await events_of(durable, behind.id)
        (waiting,) = seen
        assert (waiting.state, waiting.reason, waiting.crashes, waiting.error) == (
            "waiting",
            "backoff",
            1,
            "overloaded",
        )
        assert waiting.waits
        assert started + 500 <= waiting.run_at <= now_ms() + 1000
        assert (await durable.storage.task(record.id)).error == ""
        assert await waited(durable, record) == ["backoff"]

    @pytest.mark.parametrize(("cancelled", "end"), [(True, "cancelled"), (False, "waiting")])
    async def test_one_that_is_to_be_cancelled_is_not_put_off(
        self, durable: Durable, *, cancelled: bool, end: str
    ) -> None:
        record = await submit(durable)
        ran = asyncio.Event()

        async def stubborn(lease: Lease) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                if cancelled:
                    await durable.storage.commit(Cancel(task=record.id))
                    await asyncio.Event().wait()
            await lease.commit(BackOff(error="busy", delay_seconds=60))
            ran.set()

        async with running(durable, stubborn):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await ran.wait()
            assert await state(durable, record) == end

    async def test_one_that_is_put_off_goes_on_at_once_when_somebody_says_so(self, durable: Durable) -> None:
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            later = BackOff(error="overloaded", delay_seconds=3600)
            await lease.commit(DONE if lease.attempt > 1 else later)

        async with running(durable, handler):
            await until(durable, record, "waiting")
            assert (await durable.storage.task(record.id)).run_at > now_ms() + 3_500_000
            assert (await redo(durable, record)).state == "ready"
            await events_of(durable, record.id)

    async def test_who_is_put_off_too_often_is_dead(self, durable: Durable) -> None:
        record, behind = await submit(durable, session="s", max_attempts=2), await submit(durable, session="s")
        answers: list[bool] = []

        async def handler(lease: Lease) -> None:
            answers.extend(await lease.commit(BackOff(error="overloaded")))

        await serve(durable, record.id, handler)
        assert answers == [True, False]
        ended = await durable.storage.task(record.id)
        assert (ended.state, ended.reason, ended.error, ended.crashes) == ("dead", "attempts", "overloaded", 2)
        assert await state(durable, behind) == "ready"

    async def test_one_that_is_to_rest_rests_when_it_is_put_off(self, durable: Durable) -> None:
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            if lease.attempt == 1:
                await pause(durable, record)
            await lease.commit(DONE if lease.attempt > 1 else BackOff(error="overloaded"))

        async with running(durable, handler):
            await until(durable, record, "paused")
            assert (await redo(durable, record)).state == "waiting"
            await events_of(durable, record.id)


async def pause(durable: Durable, record: TaskRecord) -> TaskRecord:
    """Let a task rest."""
    paused: TaskRecord = (await durable.storage.commit(Pause(task=record.id)))[0]
    return paused


async def redo(durable: Durable, record: TaskRecord) -> TaskRecord:
    """Let a task go on."""
    redone: TaskRecord = (await durable.storage.commit(Redo(task=record.id)))[0]
    return redone


async def state(durable: Durable, record: TaskRecord) -> str:
    """The state of a task."""
    return (await durable.storage.task(record.id)).state


async def until(durable: Durable, record: TaskRecord, wanted: str) -> None:
    """Wait until a task is in a state."""
    for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
        if await state(durable, record) == wanted:
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise AssertionError(f"task {record.id} is {await state(durable, record)}, not {wanted}")


async def waited(durable: Durable, record: TaskRecord) -> list[str]:
    """What the events of a task say that it waited for."""
    events = [json.loads(line) for line in await durable.journal.events(record.id)]
    return [event["reason"] for event in events if event["type"] == "task.waiting"]


@asynccontextmanager
async def running(durable: Durable, handler: Callable[[Lease], Awaitable[None]]) -> AsyncIterator[None]:
    """Serve for as long as the block lasts."""
    serving = asyncio.create_task(durable.engine.serve(handler, slots=4))
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
