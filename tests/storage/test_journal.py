"""Following a task: from its beginning, from a cursor, too slowly, from another process."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autohands import storage
from autohands.protocols.changes import Cancel, Finish, Park, Signal
from autohands.protocols.events import ReplyFinished, RunResumed, TextDelta, TurnStarted
from autohands.protocols.messages import Message, Reply, Text, Usage
from autohands.protocols.records import Step
from autohands.protocols.storage import Lease
from autohands.storage import Store
from autohands.storage.journal import PAGE
from autohands.storage.streams import RING_BYTES
from storage.stores import PATIENCE_SECONDS, leased, serving, submit, tables

DONE = Finish(state="done", reason="done")


class Following:
    """A reader that is moved by hand."""

    def __init__(self, store: Store, task: str, after: int = 0) -> None:
        self._lines = store.journal.follow(task, after)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            line: dict[str, Any] = json.loads(await anext(self._lines))
            return line

    async def rest(self) -> list[dict[str, Any]]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [json.loads(line) async for line in self._lines]

    async def close(self) -> None:
        assert isinstance(self._lines, AsyncIterator)
        await self._lines.aclose()  # type: ignore[attr-defined]


def replied(turn: int, text: str) -> tuple[Step, ReplyFinished]:
    output = msgspec.json.encode(Reply(Message("assistant", (Text(text),))))
    step = Step(turn=turn, index=0, kind="model", name="m", status="done", output=output)
    return step, ReplyFinished(turn=turn, stop="end", usage=Usage())


def told(lines: list[dict[str, Any]]) -> list[str]:
    return [str(line.get("text") if line["type"] == "text.delta" else line["type"]) for line in lines]


async def test_a_reader_that_comes_back_in_mid_reply_hears_it_again_after_a_reset(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        first = Following(store, record.id)
        await lease.commit(event=TurnStarted(turn=1))
        lease.emit(TextDelta(text="hel", turn=1))
        assert told([await first.next() for _ in range(3)]) == ["task.queued", "turn.started", "hel"]
        await first.close()
        lease.emit(TextDelta(text="lo", turn=1))
        late, again = Following(store, record.id), Following(store, record.id, after=2)
        assert told([await late.next() for _ in range(4)]) == ["task.queued", "turn.started", "hel", "lo"]
        assert told([await again.next() for _ in range(3)]) == ["reset", "hel", "lo"]
        lease.emit(TextDelta(text="!", turn=1))
        lease.note(*replied(1, "hello!"))
        await lease.commit(DONE)
        for reader in (late, again):
            assert told(await reader.rest()) == ["!", "replied", "run.finished"]


async def test_a_reader_too_slow_for_the_ring_gets_a_reset_and_the_finished_reply(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        await lease.commit(event=TurnStarted(turn=1))
        slow, quick = Following(store, record.id), Following(store, record.id)
        assert told([await quick.next() for _ in range(2)]) == ["task.queued", "turn.started"]
        quickly = asyncio.create_task(quick.rest())
        lease.emit(TextDelta(text="start", turn=1))
        assert told([await slow.next() for _ in range(3)])[2] == "start"
        pieces = 2 * RING_BYTES // 10_000
        for _ in range(pieces):
            lease.emit(TextDelta(text="x" * 10_000, turn=1))
            await asyncio.sleep(0)
        late = Following(store, record.id)
        assert told([await late.next() for _ in range(2)]) == ["task.queued", "turn.started"]
        lease.note(*replied(1, "all of it"))
        await lease.commit(event=TurnStarted(turn=2))
        assert told([await slow.next() for _ in range(3)]) == ["reset", "replied", "turn.started"]
        assert told([await late.next() for _ in range(2)]) == ["replied", "turn.started"]
        lease.emit(TextDelta(text="next", turn=2))
        rest = ["next", "run.finished"]
        await lease.commit(DONE)
        assert told(await slow.rest()) == rest
        assert told(await late.rest()) == rest
        whole = told(await quickly)
        assert "reset" not in whole
        assert len(whole) == 1 + pieces + 2 + len(rest)


async def test_a_further_attempt_takes_back_partial_text(store: Store) -> None:
    record = await submit(store)
    reader = Following(store, record.id)

    async def handler(lease: Lease) -> None:
        if lease.attempt == 1:
            await lease.commit(event=TurnStarted(turn=1))
            lease.emit(TextDelta(text="lost", turn=1))
            await lease.commit(Park(reason="signal", waits=("signal:go",)))
            await store.commit(Signal(task=record.id, topic="go", payload={}))
        else:
            lease.emit(RunResumed(attempt=2))
            lease.emit(TextDelta(text="again", turn=1))
            lease.note(*replied(1, "again"))
            await lease.commit(DONE)

    async with serving(store, handler):
        lines = told(await reader.rest())
    beginning = ["task.queued", "turn.started", "lost"]
    assert lines == [*beginning, "reset", "run.resumed", "again", "replied", "run.finished"]


async def test_long_histories_are_read_page_by_page(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        for number in range(2 * PAGE):
            lease.emit(TurnStarted(turn=number))
        await lease.commit(DONE)
    events = await Following(store, record.id).rest()
    assert [event["seq"] for event in events] == list(range(1, 2 * PAGE + 3))
    assert await Following(store, record.id, after=len(events)).rest() == []


async def test_a_task_that_runs_in_another_program_is_followed(path: Path) -> None:
    async with storage.open(path) as here, storage.open(path) as there:
        record = await submit(here)
        reader = Following(here, record.id)
        assert told([await reader.next()]) == ["task.queued"]
        async with leased(there, record.id) as lease:
            for turn in (1, 2):
                await lease.commit(event=TurnStarted(turn=turn))
                assert (await reader.next())["turn"] == turn
            await there.commit(Cancel(task=record.id))
        assert told(await reader.rest()) == ["run.finished"]


async def test_an_event_that_another_program_wrote_into_a_run_is_not_missed(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        reader = Following(store, record.id, after=1)
        await lease.commit(event=TurnStarted(turn=1))
        assert (await reader.next())["turn"] == 1
        lease.emit(TextDelta(text="a", turn=1))
        assert (await reader.next())["text"] == "a"
        with tables(store._database.path) as other:
            other.execute(
                "INSERT INTO event(task, seq, type, at, body) SELECT task, seq + 1, type, at, ? FROM event"
                " ORDER BY seq DESC LIMIT 1",
                (b',"turn":77',),
            )
        lease.emit(TextDelta(text="b", turn=1))
        await lease.commit(event=TurnStarted(turn=2))
        lines = [await reader.next() for _ in range(3)]
        assert [line.get("turn") for line in lines] == [1, 77, 2]
        assert [line.get("seq") for line in lines] == [None, 3, 4]


async def test_who_follows_a_task_whose_lease_was_lost_hears_what_the_other_program_did(path: Path) -> None:
    async def stand(lease: Lease) -> None:
        claimed.set_result(None)
        await asyncio.Event().wait()

    async def finish(lease: Lease) -> None:
        await lease.commit(Finish(state="done", reason="done"))

    claimed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with storage.open(path) as here, storage.open(path) as there:
        task = (await submit(here)).id
        following = asyncio.create_task(Following(here, task).rest())
        async with serving(here, stand):
            await claimed
            with tables(path) as connection:
                connection.execute("UPDATE executor SET lease_until = 0")
            async with serving(there, finish), asyncio.timeout(PATIENCE_SECONDS):
                assert (await following)[-1]["type"] == "run.finished"


async def test_streams_are_forgotten(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        await lease.commit(DONE)
    await Following(store, record.id).rest()
    reader = Following(store, record.id)
    await reader.next()
    await reader.close()
    assert store.journal._streams == {}
    assert store._database._watchers == 0


@pytest.mark.parametrize("readers", [0, 1])
async def test_a_ring_keeps_only_what_somebody_may_still_want(store: Store, readers: int) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        following = [Following(store, record.id) for _ in range(readers)]
        for each in following:
            await each.next()
        for turn in range(20):
            lease.emit(TextDelta(text="x" * 1000, turn=turn))
            await lease.commit(event=TurnStarted(turn=turn))
            for each in following:
                assert told([await each.next(), await each.next()])[1] == "turn.started"
        assert len(store.journal._streams[record.id].entries) <= 2
        lease.emit(TextDelta(text="kept", turn=20))
        late = Following(store, record.id, after=20)
        assert told([await late.next() for _ in range(2)]) == ["turn.started", "kept"]


async def test_deltas_that_come_fast_are_all_told_in_order(store: Store) -> None:
    record, texts = await submit(store), [str(number) for number in range(200)]

    async def listen() -> list[dict[str, Any]]:
        return await Following(store, record.id).rest()

    async with leased(store, record.id) as lease, asyncio.timeout(PATIENCE_SECONDS):
        listener = asyncio.create_task(listen())
        await lease.commit(event=TurnStarted(turn=1))
        for text in texts:
            lease.emit(TextDelta(text=text, turn=1))
            await asyncio.sleep(0)
        await lease.commit(DONE)
        told = await listener
    assert [each["text"] for each in told if each["type"] == "text.delta"] == texts


async def test_a_delta_is_told_though_nothing_comes_after_it(store: Store) -> None:
    record = await submit(store)
    following = Following(store, record.id)
    async with leased(store, record.id) as lease:
        await lease.commit(event=TurnStarted(turn=1))
        while (await following.next())["type"] != "turn.started":
            pass
        for text in "abc":  # the first wakes the reader, the others come while it is left in peace
            waiting = asyncio.create_task(following.next())
            await asyncio.sleep(0)
            lease.emit(TextDelta(text=text, turn=1))
            assert (await waiting)["text"] == text
        await lease.commit(DONE)
