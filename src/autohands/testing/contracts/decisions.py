"""What every `Storage` must do with effects of unknown outcome: subclass the class, give it a fixture `durable`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pytest

from autohands.protocols.changes import Cancel, DecideStep, Finish, Park, RecordStep, Signal
from autohands.protocols.errors import BadRequest, Conflict, Fenced, NotFound
from autohands.protocols.messages import Message, Reply, ToolCall
from autohands.protocols.records import Step
from autohands.protocols.storage import Lease
from autohands.protocols.task import TaskRecord
from autohands.protocols.tool import ToolResult
from autohands.testing.contracts.durable import DONE, Durable, events_of, finish, serve, submit

CALLS: Final = Reply(Message("assistant", (ToolCall("c1", "exec", {}), ToolCall("c2", "exec", {}))))
WAIT: Final = Park(reason="decision", waits=("decision:1.1",))
ELSE: Final = Park(reason="signal", waits=("signal:go",))


def asked(turn: int = 1) -> Step:
    """A model call that asked for two effects."""
    return Step(turn=turn, index=0, kind="model", name="m", status="done", output=msgspec.json.encode(CALLS))


def effect(status: Any, index: int = 1, output: bytes | None = None) -> Step:
    """One of its effects."""
    return Step(turn=1, index=index, kind="tool", name="exec", status=status, output=output, idempotent=False)


class DecisionsContract:
    """`DecideStep`: who may say what of which step, and how often a body may begin."""

    async def doubtful(self, durable: Durable, *steps: Step, park: Park = WAIT) -> TaskRecord:
        """A task that waits, with a model call and `steps`."""
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            lease.note(asked())
            for step in steps or (effect("unknown"),):
                await lease.commit(RecordStep(step=effect("started", step.index)))
                if step.status != "started":
                    await lease.commit(RecordStep(step=step))
            await lease.commit(park)

        await self.once(durable, record, handler)
        return await durable.storage.task(record.id)

    async def once(self, durable: Durable, record: TaskRecord, handler: Any) -> None:
        """Run a task for one activation, at the end of which it is parked or has ended."""
        ran = asyncio.Event()

        async def first(lease: Lease) -> None:
            try:
                await handler(lease)
            finally:
                ran.set()

        serving = asyncio.create_task(durable.engine.serve(first, slots=1, root=record.id))
        async with asyncio.timeout(20):
            await ran.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    async def decide(self, durable: Durable, record: TaskRecord, decision: Any, **fields: Any) -> TaskRecord:
        """Say something as the owner."""
        change = DecideStep(task=record.id, decision=decision, by="owner", **fields)
        decided: TaskRecord = (await durable.storage.commit(change))[0]
        return decided

    async def step(self, durable: Durable, record: TaskRecord, index: int = 1) -> Step:
        """An effect as it is stored."""
        steps: Sequence[Step] = await durable.storage.steps(record.id)
        return next(step for step in steps if (step.turn, step.index) == (1, index))

    @pytest.mark.parametrize(("decision", "status"), [("done", "done"), ("skip", "failed")])
    async def test_cr02_a_person_says_what_became_of_it_and_the_task_wakes(
        self, durable: Durable, decision: str, status: str
    ) -> None:
        record = await self.doubtful(durable)
        assert (record.state, (await self.step(durable, record)).undecided) == ("waiting", True)
        result = ToolResult("it is there") if decision == "done" else None
        assert (await self.decide(durable, record, decision, result=result)).state == "ready"
        step = await self.step(durable, record)
        told = msgspec.json.decode(step.output or b"", type=ToolResult)
        assert (step.status, told.failed) == (status, decision == "skip")
        assert told == result or "owner says to go on without it" in told.text
        with pytest.raises(Conflict, match="known"):
            await self.decide(durable, record, "retry", turn=1, index=1)

    async def test_cr02_what_was_decided_is_told_in_the_journal(self, durable: Durable) -> None:
        record = await self.doubtful(durable)
        await self.decide(durable, record, "done")
        await durable.storage.commit(Cancel(task=record.id))
        told = [event for event in await events_of(durable, record.id) if event["type"] == "tool.finished"]
        assert [(event["call_id"], event["status"], event["turn"], event["index"]) for event in told] == [
            ("c1", "done", 1, 1)
        ]
        assert "owner says that it was done" in told[0]["result"]["text"]

    @pytest.mark.parametrize("later", [True, False])
    async def test_what_a_later_task_of_its_session_has_read_cannot_be_decided(
        self, durable: Durable, *, later: bool
    ) -> None:
        record = await submit(durable, session="s")

        async def fails(lease: Lease) -> None:
            lease.note(asked())
            await lease.commit(RecordStep(step=effect("started")))
            await lease.commit(RecordStep(step=effect("unknown")))
            await lease.commit(Finish(state="failed", reason="failed"))

        await self.once(durable, record, fails)
        behind = await submit(durable, session="s")
        if later:
            await self.once(durable, behind, finish)
            with pytest.raises(Conflict, match="later task"):
                await self.decide(durable, record, "done")
        else:
            assert (await self.decide(durable, record, "done")).state == "failed"
            assert (await self.step(durable, record)).status == "done"

    async def test_cr02_a_body_begins_once_and_once_more_for_each_retry(self, durable: Durable) -> None:
        record = await self.doubtful(durable)
        again = RecordStep(step=effect("started"))

        async def eager(lease: Lease) -> None:
            with pytest.raises(Conflict):
                await lease.commit(again)
            await lease.commit(RecordStep(step=effect("unknown")), WAIT)

        async def allowed(lease: Lease) -> None:
            await lease.commit(again)
            with pytest.raises(Conflict):
                await lease.commit(again)
            await lease.commit(RecordStep(step=effect("unknown")), WAIT)

        for attempt in (1, 2):
            await self.decide(durable, record, "retry")
            await self.decide(durable, record, "retry")  # said twice, and meant once
            assert (await self.step(durable, record)).begins_again
            await self.once(durable, record, allowed)
            step = await self.step(durable, record)
            assert (step.attempt, step.retries, step.undecided) == (attempt + 1, attempt, True)
        await durable.storage.commit(DecideStep(task=record.id, decision="retry", by="owner"))
        await self.decide(durable, record, "skip")
        await self.once(durable, record, lambda lease: lease.commit(DONE))
        other = await self.doubtful(durable, effect("unknown"), park=ELSE)
        await durable.storage.commit(Signal(task=other.id, topic="go", payload={}))
        await self.once(durable, other, eager)

    async def test_cr02_cancel_ends_the_task_and_leaves_the_step(self, durable: Durable) -> None:
        record = await self.doubtful(durable)
        assert (await self.decide(durable, record, "cancel")).state == "cancelled"
        assert (await self.step(durable, record)).status == "unknown"
        with pytest.raises(Conflict, match="cancelled"):
            await self.decide(durable, record, "done")

    async def test_cr02_of_several_the_one_that_is_meant_is_named(self, durable: Durable) -> None:
        record = await self.doubtful(durable, effect("unknown"), effect("unknown", 2))
        with pytest.raises(Conflict) as several:
            await self.decide(durable, record, "done")
        assert "--turn 1 --index 2" in (several.value.hint or "")
        assert (await self.decide(durable, record, "done", turn=1, index=2)).state == "waiting"
        assert (await self.decide(durable, record, "done")).state == "ready"

    async def test_cr02_what_the_model_has_read_stays(self, durable: Durable) -> None:
        told = effect("unknown", output=b'{"text":"unknown","failed":true}')
        record = await self.doubtful(durable, told, park=ELSE)
        assert (await self.decide(durable, record, "retry")).state == "waiting", "it waits for something else"
        await self.decide(durable, record, "done")
        read = await self.doubtful(durable, told, park=ELSE)
        await durable.storage.commit(Signal(task=read.id, topic="go", payload={}))

        async def goes_on(lease: Lease) -> None:
            await lease.commit(RecordStep(step=asked(2)), WAIT)

        await self.once(durable, read, goes_on)
        for fields in ({}, {"turn": 1, "index": 1}):
            with pytest.raises(Conflict, match="read"):
                await self.decide(durable, read, "done", **fields)

    async def test_cr02_a_running_task_is_not_decided_about(self, durable: Durable) -> None:
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            lease.note(asked())
            await lease.commit(RecordStep(step=effect("started")))
            with pytest.raises(Conflict, match="running"):
                await self.decide(durable, record, "retry")
            await lease.commit(DONE)
            with pytest.raises(Fenced):
                await lease.commit()

        await serve(durable, record.id, handler)
        with pytest.raises(Conflict, match="done"):
            await self.decide(durable, record, "retry")

    async def test_cr02_wrong_decisions_are_refused(self, durable: Durable) -> None:
        record = await self.doubtful(durable)
        with pytest.raises(BadRequest, match="retry takes no result"):
            await self.decide(durable, record, "retry", result=ToolResult("x"))
        with pytest.raises(NotFound, match=r"no call 3\.1"):
            await self.decide(durable, record, "retry", turn=3, index=1)
        with pytest.raises(NotFound):
            await durable.storage.commit(DecideStep(task="task_none", decision="retry", by="owner"))
        with pytest.raises(Conflict, match="no call whose outcome is unknown"):
            await self.decide(durable, await submit(durable), "retry")
