"""What every `Engine` must do: subclass the class and give it a fixture `durable`, a fresh `Durable` for each test."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autohands.protocols.changes import AskApproval, Cancel, Decide, Finish, Park, ReadWords, Redo, Signal, Speak
from autohands.protocols.errors import Conflict, Fenced, NotFound
from autohands.protocols.events import TurnStarted
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


class EngineContract:
    """`Engine`: claims, order, waits, ends, cancellation."""

    async def test_a_session_runs_in_order_and_others_by_rank(self, durable: Durable) -> None:
        records = [await submit(durable, session="one") for _ in range(3)]
        records += [await submit(durable, priority=priority) for priority in ("low", "normal", "urgent")]
        ran: list[str] = []

        async def handler(lease: Lease) -> None:
            ran.append(lease.record.id)
            await lease.commit(DONE)
            if len(ran) == len(records):
                everything.set()

        everything = asyncio.Event()
        serving = asyncio.create_task(durable.engine.serve(handler, slots=1))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await everything.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        order = [ran.index(record.id) for record in records]
        assert order[0] < order[1] < order[2]
        assert order[5] == 0
        assert order[3] == 5

    async def test_a_delayed_task_runs_when_it_is_due_and_not_before(self, durable: Durable) -> None:
        due = now_ms() + 60
        delayed = await submit(durable, session="s", not_before=due)
        assert (delayed.state, (await submit(durable, session="s")).state) == ("delayed", "ready")
        started: list[int] = []

        async def handler(lease: Lease) -> None:
            if lease.record.id == delayed.id:
                started.append(now_ms())
            await lease.commit(DONE)

        serving = asyncio.create_task(durable.engine.serve(handler, slots=2))
        await events_of(durable, delayed.id)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert started
        assert started[0] >= due

    @pytest.mark.parametrize("crash", [True, False])
    async def test_a_handler_that_does_not_end_its_task_fails_it(self, durable: Durable, *, crash: bool) -> None:
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            lease.emit(TurnStarted(turn=1))
            if crash:
                raise ValueError("broken")

        await serve(durable, record.id, handler)
        events = await events_of(durable, record.id)
        assert [event["type"] for event in events] == ["task.queued", "turn.started", "run.finished"]
        assert events[-1]["reason"] == "failed"
        assert ("broken" in events[-1]["error"]) is crash
        redone: TaskRecord = (await durable.storage.commit(Redo(task=record.id, queue="other", consent="deny")))[0]
        assert (redone.state, redone.task.queue, redone.task.consent) == ("ready", "other", "deny")
        await serve(durable, record.id, finish)
        types = [event["type"] for event in await events_of(durable, record.id)]
        assert types[3:] == ["task.queued", "run.finished"]
        with pytest.raises(Conflict):
            await durable.storage.commit(Redo(task=record.id))

    async def test_a_running_task_is_cancelled(self, durable: Durable) -> None:
        record = await submit(durable)
        child = await submit(durable, parent=record.id, not_before=now_ms() + 3_600_000)
        reasons: list[object] = []

        async def handler(lease: Lease) -> None:
            try:
                await durable.storage.commit(Cancel(task=record.id))
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                reasons.extend(error.args)
                raise

        await serve(durable, record.id, handler)
        assert reasons == ["cancelled"]
        for task in (record, child):
            assert (await durable.storage.task(task.id)).state == "cancelled"

    async def test_stopping_leaves_the_task_ready(self, durable: Durable) -> None:
        record = await submit(durable, max_attempts=1)
        running = asyncio.Event()

        async def handler(lease: Lease) -> None:
            lease.note(model_step())
            running.set()
            await asyncio.Event().wait()

        for attempt in (1, 2):
            serving = asyncio.create_task(durable.engine.serve(handler, slots=1))
            async with asyncio.timeout(PATIENCE_SECONDS):
                await running.wait()
            running.clear()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            stopped = await durable.storage.task(record.id)
            assert (stopped.state, stopped.attempt, stopped.turns) == ("ready", attempt, 1)

    async def test_a_parked_task_holds_no_slot_and_wakes_by_its_child(self, durable: Durable) -> None:
        record = await submit(durable, max_attempts=1)
        children: list[str] = []

        async def handler(lease: Lease) -> None:
            if lease.record.id != record.id:
                await lease.commit(Finish(state="done", reason="done", text="from below"))
            elif signals := await durable.storage.signals(record.id):
                await lease.commit(Finish(state="done", reason="done", text=signals[f"child:{children[0]}"]["text"]))
            else:
                children.append((await submit(durable, parent=record.id)).id)
                await lease.commit(Park(reason="child", waits=(f"child:{children[0]}",)))

        async with asyncio.timeout(PATIENCE_SECONDS):
            await durable.engine.serve(handler, slots=1, root=record.id)
        ended = await durable.storage.task(record.id)
        assert (ended.state, ended.text, ended.attempt) == ("done", "from below", 2)
        assert (await durable.storage.task(children[0])).root == record.id

    @pytest.mark.parametrize("early", [True, False])
    async def test_an_answer_wakes_its_task(self, durable: Durable, *, early: bool) -> None:
        record = await submit(durable)
        ids = [new_id("apr") for _ in range(2)]

        async def answer() -> None:
            for approval in ids:
                state = (await durable.storage.task(record.id)).state
                assert state == ("running" if early else "waiting")
                await durable.storage.commit(Decide(approval=approval, decision="allow", by="me"))

        async def handler(lease: Lease) -> None:
            known = await durable.storage.approvals(task=record.id, pending=False)
            if known:
                assert [each.state for each in known] == ["allow", "allow"]
                await lease.commit(DONE)
                return
            await lease.commit(*(AskApproval(approval=question(record.id, approval)) for approval in ids))
            if early:
                await answer()
            await lease.commit(Park(reason="approval", waits=tuple(f"approval:{approval}" for approval in ids)))
            if not early:
                await answer()

        await serve(durable, record.id, handler)
        assert (await durable.storage.task(record.id)).state == "done"
        await durable.storage.commit(Decide(approval=ids[0], decision="allow", by="me"))
        with pytest.raises(Conflict):
            await durable.storage.commit(Decide(approval=ids[0], decision="deny", by="me"))
        with pytest.raises(NotFound):
            await durable.storage.commit(Decide(approval="apr_none", decision="deny", by="me"))

    async def test_time_wakes_and_a_question_expires(self, durable: Durable) -> None:
        record = await submit(durable)
        approval = question(record.id, new_id("apr"), expires=now_ms() + 30)

        async def handler(lease: Lease) -> None:
            if lease.attempt == 1:
                wait = f"approval:{approval.id}"
                await lease.commit(AskApproval(approval=approval), Park(reason="approval", waits=(wait,)))
            else:
                assert [each.state for each in await durable.storage.approvals(pending=False)] == ["expired"]
                await lease.commit(DONE)

        await serve(durable, record.id, handler)
        decided = [event for event in await events_of(durable, record.id) if event["type"] == "approval.decided"]
        assert [event["decision"] for event in decided] == ["expired"]

    async def test_a_signal_happens_once(self, durable: Durable) -> None:
        record = await submit(durable)
        for number in (1, 2):
            await durable.storage.commit(Signal(task=record.id, topic="go", payload={"n": number}, dedup="d"))

        async def handler(lease: Lease) -> None:
            if lease.attempt == 1:
                await lease.commit(Park(reason="signal", waits=("signal:go",)))
            else:
                await lease.commit(DONE)

        await serve(durable, record.id, handler)
        assert await durable.storage.signals(record.id) == {"go": {"n": 1}}

    async def test_finishing_waits_for_unread_words(self, durable: Durable) -> None:
        record = await submit(durable)
        answers: list[Any] = []

        async def handler(lease: Lease) -> None:
            assert (await durable.storage.commit(Speak(session=record.session, text="wait")))[0] == record.id
            assert lease.unread
            lease.note(model_step())
            end = Finish(state="done", reason="done", unless_words=True)
            answers.extend(await lease.commit(end))
            words = await durable.storage.words(record.id)
            assert [(word.text, word.turn) for word in words] == [("wait", None)]
            assert len(await durable.storage.steps(record.id)) == 1
            answers.extend(await lease.commit(ReadWords(ids=(words[0].id,), turn=2), end))
            with pytest.raises(Fenced):
                await lease.commit()

        await serve(durable, record.id, handler)
        assert answers == [False, None, True]
        assert [word.turn for word in await durable.storage.words(record.id)] == [2]
        assert await durable.storage.commit(Speak(session=record.session, text="too late")) == [None]
