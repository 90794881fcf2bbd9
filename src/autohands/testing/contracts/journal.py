"""What every `Journal` must do: subclass the class and give it a fixture `durable`, a fresh `Durable` for each test."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from autohands.protocols.changes import RecordStep
from autohands.protocols.errors import NotFound
from autohands.protocols.events import ReplyFinished, RunStarted, TextDelta, ToolFinished, TurnStarted
from autohands.protocols.storage import Lease
from autohands.testing.contracts.durable import (
    DONE,
    PATIENCE_SECONDS,
    REPLY,
    Durable,
    events_of,
    model_step,
    serve,
    submit,
    tool_step,
)


class Following:
    """Somebody who follows a task, and has come to where it is now."""

    def __init__(self, durable: Durable, task: str) -> None:
        self.joined = asyncio.Event()
        self.events = asyncio.ensure_future(self._follow(durable, task))

    @classmethod
    async def begun(cls, durable: Durable, task: str) -> Following:
        """Begin to follow: what is stored has been read."""
        following = cls(durable, task)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await following.joined.wait()
        return following

    async def _follow(self, durable: Durable, task: str) -> list[dict[str, Any]]:
        events = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in durable.journal.follow(task):
                events.append(json.loads(line))
                self.joined.set()
        return events


class JournalContract:
    """`Journal`: every durable event once and in order, deltas between them."""

    async def test_events_and_deltas_keep_their_order(self, durable: Durable) -> None:
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            lease.emit(RunStarted(agent="general", model="m", workspace=""))
            for turn in (1, 2):
                lease.emit(TurnStarted(turn=turn))
                lease.emit(TextDelta(text="hel", turn=turn))
                await asyncio.sleep(0)
                lease.emit(TextDelta(text="lo", turn=turn))
                lease.note(model_step(turn), ReplyFinished(turn=turn, stop="end", usage=REPLY.usage))
                if turn == 1:
                    await lease.commit()
            await lease.commit(DONE)

        following = [await Following.begun(durable, record.id) for _ in range(2)]
        await serve(durable, record.id, handler)
        for events in [await each.events for each in following]:
            turn = ["turn.started", "text.delta", "text.delta", "replied"]
            assert [event["type"] for event in events] == ["task.queued", "run.started", *turn, *turn, "run.finished"]
            durable_ones = [event for event in events if "seq" in event]
            assert [event["seq"] for event in durable_ones] == list(range(1, len(durable_ones) + 1))
            assert [(e["after"], e["offset"], e["text"]) for e in events if e["type"] == "text.delta"] == [
                (3, 0, "hel"),
                (3, 3, "lo"),
                (5, 0, "hel"),
                (5, 3, "lo"),
            ]
            assert events[5]["message"]["parts"][0]["text"] == "hello"
            assert (events[-1]["turns"], events[-1]["usage"]) == (2, {"input": 20, "output": 10})

    async def test_a_cursor_goes_on_where_it_was(self, durable: Durable) -> None:
        record = await submit(durable)

        async def handler(lease: Lease) -> None:
            finished = ToolFinished(turn=1, index=1, call_id="c", name="exec", status="done")
            await lease.commit(RecordStep(step=tool_step("done", b'{"text":"out"}')), event=finished)
            await lease.commit(DONE)

        await serve(durable, record.id, handler)
        whole = await events_of(durable, record.id)
        assert whole[1]["result"] == {"text": "out"}
        for after in range(len(whole) + 2):
            assert await events_of(durable, record.id, after) == whole[after:]
            assert [json.loads(line) for line in await durable.journal.events(record.id, after, 2)] == whole[after:][:2]

    async def test_an_unknown_task_cannot_be_followed(self, durable: Durable) -> None:
        with pytest.raises(NotFound):
            await events_of(durable, "task_none")
