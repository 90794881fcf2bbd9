"""What every `Storage` must do: subclass the class and give it a fixture `durable`, a fresh `Durable` for each test."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from autohands.protocols.changes import (
    Cancel,
    Change,
    Enqueue,
    FixSystem,
    ForgetSession,
    Park,
    RecordStep,
    RenameSession,
    Reserve,
    Settle,
    Signal,
    Tell,
)
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.messages import Usage
from autohands.protocols.outbox import Send
from autohands.protocols.schedule import PauseSchedule
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task
from autohands.protocols.topics import Consume, Subscribe
from autohands.testing.contracts.durable import DONE, PATIENCE_SECONDS, Durable, events_of, serve, submit, tool_step

NO_TEXT = "\ud800"  # half of a character
HUGE = 1 << 64


class StorageContract:
    """`Storage`: acceptance, sessions, order, signals, approvals, steps, money."""

    async def test_an_accepted_task_is_there(self, durable: Durable) -> None:
        record = await submit(durable, "hi", session="s1", priority="high")
        assert (record.state, record.seq > 0, record.task.session) == ("ready", True, record.session)
        assert await durable.storage.task(record.id) == record
        assert await durable.storage.task(record.id[:-2]) == record
        assert [json.loads(line)["type"] for line in await durable.journal.events(record.id)] == ["task.queued"]

    async def test_an_unknown_task_is_not_found(self, durable: Durable) -> None:
        record = await submit(durable)
        with pytest.raises(NotFound) as missing:
            await durable.storage.task(record.id[:-1] + "~")
        assert record.id in (missing.value.hint or "")

    async def test_a_name_continues_its_session_and_belongs_to_its_principal(self, durable: Durable) -> None:
        first = await submit(durable, session="s1")
        assert (await submit(durable, session="s1")).session == first.session
        assert (await submit(durable, session=first.session)).session == first.session
        assert (await submit(durable)).session != first.session
        assert (await submit(durable, session="s1", principal="token:other")).session != first.session
        with pytest.raises(NotFound):
            await submit(durable, session=first.session, principal="token:other")
        with pytest.raises(NotFound):
            await durable.storage.session("s1", "token:nobody")
        with pytest.raises(BadRequest):
            await submit(durable, session="no spaces")

    async def test_an_idempotency_key_accepts_once(self, durable: Durable) -> None:
        first = await submit(durable, "hi", idempotency_key="k")
        assert await submit(durable, "hi", idempotency_key="k") == first
        with pytest.raises(Conflict):
            await submit(durable, "something else", idempotency_key="k")
        assert (await submit(durable, "hi", idempotency_key="k", source="cron")).id != first.id

    async def test_a_commit_is_all_or_nothing(self, durable: Durable) -> None:
        with pytest.raises(NotFound):
            await durable.storage.commit(Enqueue(task=Task(prompt="hi")), Cancel(task="nobody"))
        assert await durable.storage.tasks() == []
        with pytest.raises(BadRequest):
            await durable.storage.commit(DONE)

    async def test_a_session_has_one_head(self, durable: Durable) -> None:
        records = [await submit(durable, session="s", priority=priority) for priority in (0, "urgent", 0)]
        assert [record.state for record in records] == ["ready", "blocked", "blocked"]
        await durable.storage.commit(Cancel(task=records[0].id))
        states = [(await durable.storage.task(record.id)).state for record in records]
        assert states == ["cancelled", "ready", "blocked"]
        assert [record.state for record in await durable.storage.tasks(states=["blocked"])] == ["blocked"]
        assert len(await durable.storage.tasks(session=records[0].session, limit=2)) == 2

    async def test_cancelling_what_does_not_run_ends_it_once(self, durable: Durable) -> None:
        record = await submit(durable)
        for _ in range(2):
            await durable.storage.commit(Cancel(task=record.id, by="owner"))
        events = await events_of(durable, record.id)
        assert [event["type"] for event in events] == ["task.queued", "run.finished"]
        assert events[-1]["reason"] == "cancelled"

    async def test_a_session_is_renamed_found_and_forgotten(self, durable: Durable) -> None:
        record = await submit(durable, "find the walrus", session="s1")
        await submit(durable, "something else")
        await durable.storage.commit(RenameSession(session=record.session, title="Zoo"))
        for search in ("walrus", "zoo"):
            found = await durable.storage.sessions(search=search)
            assert [(each.id, each.title, each.tasks) for each in found] == [(record.session, "Zoo", 1)]
        assert len(await durable.storage.sessions()) == 2
        with pytest.raises(Conflict):
            await durable.storage.commit(ForgetSession(session=record.session))
        await durable.storage.commit(Cancel(task=record.id))
        await durable.storage.commit(ForgetSession(session=record.session))
        with pytest.raises(NotFound):
            await durable.storage.task(record.id)

    async def test_a_finished_step_never_changes(self, durable: Durable) -> None:
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            await lease.commit(RecordStep(step=tool_step("started")))
            with pytest.raises(Conflict):
                await lease.commit(RecordStep(step=tool_step("started")))
            await lease.commit(RecordStep(step=tool_step("done", b'{"text":"first"}')))
            with pytest.raises(Conflict):
                await lease.commit(RecordStep(step=tool_step("failed", b'{"text":"second"}')))
            lease.note(tool_step("failed", b'{"text":"third"}'))
            await lease.commit(DONE)

        await serve(durable, record.id, handler)
        steps = await durable.storage.steps(record.id)
        assert [(step.status, step.output) for step in steps] == [("done", b'{"text":"first"}')]

    async def test_money_is_reserved_under_caps_and_settled(self, durable: Durable) -> None:
        record = await submit(durable)
        results: list[Any] = []

        async def handler(lease: Lease) -> None:
            results.extend(await lease.commit(Reserve(key="a", micro_usd=60, run_cap=100, day_cap=None)))
            results.extend(await lease.commit(Reserve(key="b", micro_usd=60, run_cap=100, day_cap=None)))
            results.extend(await lease.commit(Reserve(key="b", micro_usd=60, run_cap=None, day_cap=100)))
            results.extend(await lease.commit(Settle(key="a", micro_usd=10, usage=Usage(1, 1), model="m")))
            results.extend(await lease.commit(Reserve(key="c", micro_usd=90, run_cap=100, day_cap=100)))
            await lease.commit(DONE)

        await serve(durable, record.id, handler)
        assert results == [True, False, False, 10, True]
        assert await durable.storage.spent(record.id) == await durable.storage.spent() == 100

    async def test_a_childs_share_is_put_aside_and_comes_back(self, durable: Durable) -> None:
        record = await submit(durable)
        results: list[Any] = []

        async def handler(lease: Lease) -> None:
            if lease.record.id != record.id:
                results.extend(await lease.commit(Reserve(key="c", micro_usd=41, run_cap=100, day_cap=None)))
                results.extend(await lease.commit(Reserve(key="c", micro_usd=40, run_cap=100, day_cap=None)))
                await lease.commit(Settle(key="c", micro_usd=10, usage=Usage(1, 1), model="m"), DONE)
                return
            if lease.attempt == 1:
                await lease.commit(Reserve(key="a", micro_usd=20, run_cap=100, day_cap=None))
                child = await submit(durable, parent=record.id, budget_micro_usd=40)
                await durable.storage.commit(Tell(task=child.id, parent=record.id, text="hurry", key="k"))
                results.append(await durable.storage.spent(record.id))
                await lease.commit(Park(reason="child", waits=(f"child:{child.id}",)))
                return
            (own,) = await durable.storage.children(record.id)
            results.extend([own.record.state, own.spent, await durable.storage.spent(record.id)])
            used = await durable.storage.used(record.id)
            results.extend([used.model_calls, [word.text for word in await durable.storage.words(own.record.id)]])
            await lease.commit(DONE)

        await serve(durable, record.id, handler)
        assert results == [60, False, True, "done", 10, 30, 1, ["hurry"]]
        (cost,) = await durable.storage.costs("session", "2000-01-01")
        assert (cost.key, cost.spent, cost.reserved, cost.calls, cost.runs) == (record.session, 10, 20, 2, 1)

    @pytest.mark.parametrize(
        "change",
        [
            Enqueue(task=Task(prompt=NO_TEXT)),
            Enqueue(task=Task(prompt="x", queue=NO_TEXT)),
            Enqueue(task=Task(prompt="x", not_before=HUGE)),
            Cancel(task=NO_TEXT),
            Signal(task="task_here", topic="t", payload={"x": NO_TEXT}),
            Send(address="c:t", text="x", key=NO_TEXT),
            Subscribe(name="n", pattern="p", until=HUGE),
            PauseSchedule(name=NO_TEXT),
            Consume(name="here", seq=HUGE),
        ],
        ids=lambda change: type(change).__name__,
    )
    async def test_what_cannot_be_written_down_is_refused_by_type(self, durable: Durable, change: Change) -> None:
        await durable.storage.commit(
            Enqueue(task=Task(id="task_here", prompt="x")), Subscribe(name="here", pattern="p")
        )
        with pytest.raises(BadRequest):
            await durable.storage.commit(change)
        assert len(await durable.storage.tasks()) == 1

    async def test_what_cannot_be_there_is_not_looked_for(self, durable: Durable) -> None:
        for asked in (durable.storage.task(NO_TEXT * 9), durable.storage.sessions(search=NO_TEXT)):
            with pytest.raises(BadRequest):
                await asked

    async def test_a_signal_that_was_given_already_wakes_nobody(self, durable: Durable) -> None:
        record = await submit(durable)
        await durable.storage.commit(Signal(task=record.id, topic="old", payload={}, dedup="d"))
        parked = asyncio.Event()

        async def handler(lease: Lease) -> None:
            await lease.commit(Park(reason="signal", waits=("signal:new",)))
            parked.set()

        serving = asyncio.create_task(durable.engine.serve(handler, slots=1))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await parked.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        for dedup, state in (("d", "waiting"), ("e", "ready")):
            await durable.storage.commit(Signal(task=record.id, topic="new", payload={}, dedup=dedup))
            assert (await durable.storage.task(record.id)).state == state

    async def test_a_system_prompt_is_fixed_once(self, durable: Durable) -> None:
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            for system in ("first", "second"):
                assert await lease.commit(FixSystem(session=record.session, system=system)) == ["first"]
            await lease.commit(DONE)

        await serve(durable, record.id, handler)
        assert (await durable.storage.session(record.session)).system == "first"
