"""Leases: the fence, what is lazily written, and what is not lost when a write is refused."""

import asyncio
import gc
import json
import threading

import msgspec
import pytest

from autohands.protocols.changes import Finish, RecordStep
from autohands.protocols.errors import Conflict, Fenced, StorageUnavailable
from autohands.protocols.events import (
    ReplyFinished,
    RetryScheduled,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    TurnStarted,
)
from autohands.protocols.messages import Message, Reply, Text, Usage
from autohands.protocols.records import Step
from autohands.protocols.storage import Lease
from autohands.storage import Store
from autohands.storage.batch import Batch
from autohands.storage.lease import MOST_PENDING_BYTES
from autohands.storage.transaction import Transaction
from autohands.storage.work import Work
from storage.stores import leased, soon, submit, tables

DONE = Finish(state="done", reason="done")


def tool(number: int, output: bytes = b'{"text":"out"}') -> Step:
    return Step(turn=1, index=number, kind="tool", name="t", status="done", output=output)


async def types(store: Store, task: str) -> list[str]:
    return [json.loads(line)["type"] for line in await store.journal.events(task)]


@pytest.mark.parametrize("theft", ["lease_token = lease_token + 1", "status = 'waiting'", "status = 'dead', ended = 1"])
async def test_whoever_lost_its_lease_records_nothing(store: Store, theft: str) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        lease.emit(TurnStarted(turn=1))
        lease.note(tool(1))
        with tables(store._database.path) as other:
            other.execute(f"UPDATE task SET {theft}")
        with pytest.raises(Fenced):
            await lease.commit(RecordStep(step=tool(2)))
        lease.emit(TurnStarted(turn=2))
        with pytest.raises(Fenced):
            await lease.commit(DONE)
    assert await store.steps(record.id) == []
    assert await types(store, record.id) == ["task.queued"]


async def test_the_holder_of_the_lease_records(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        with tables(store._database.path) as other:
            other.execute("UPDATE task SET updated = updated + 1")
        await lease.commit(RecordStep(step=tool(2)))
    assert len(await store.steps(record.id)) == 1


async def test_what_was_written_leaves_nothing_to_the_collector(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        gc.collect()
        gc.disable()
        try:
            for number in range(5):
                lease.emit(TurnStarted(turn=number))
                await lease.commit(RecordStep(step=tool(number)))
            left = [type(each).__name__ for each in gc.get_objects() if type(each) in (Batch, Work)]
        finally:
            gc.enable()
    assert left.count("Batch") <= 1, left
    assert left.count("Work") <= 1, left


async def test_what_no_barrier_takes_is_written_soon(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        lease.emit(TurnStarted(turn=1))
        lease.note(tool(1), ToolFinished(turn=1, index=1, call_id="c", name="t", status="done"))

        async def written() -> bool:
            return len(await store.steps(record.id)) == 1

        await soon(written)
        assert await types(store, record.id) == ["task.queued", "turn.started", "tool.finished"]
        await lease.commit(DONE)


async def test_a_lease_lost_behind_its_back_is_noticed_at_the_next_barrier(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        with tables(store._database.path) as other:
            other.execute("UPDATE task SET lease_token = lease_token + 1")
        lease.emit(TurnStarted(turn=1))

        async def over() -> bool:
            return bool(getattr(lease, "over"))  # noqa: B009  not of the protocol

        await soon(over)
        with pytest.raises(Fenced):
            await lease.commit()


async def test_a_refused_change_takes_nothing_down_with_it(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        await lease.commit(RecordStep(step=tool(1)))
        lease.emit(TurnStarted(turn=1))
        lease.note(tool(2))
        refused = asyncio.ensure_future(lease.commit(RecordStep(step=tool(3)), RecordStep(step=tool(1))))
        await asyncio.sleep(0)
        lease.emit(TurnStarted(turn=2))
        lease.note(tool(4))
        with pytest.raises(Conflict):
            await refused
        await lease.commit(event=TurnStarted(turn=3))
        events = [json.loads(line) for line in await store.journal.events(record.id, 1)]
        assert [event["turn"] for event in events] == [1, 2, 3]
        assert [step.index for step in await store.steps(record.id)] == [1, 2, 4]


async def test_barriers_in_flight_keep_their_order_when_one_is_refused(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        await lease.commit(RecordStep(step=tool(1)))
        commits = []
        for number in range(20):
            lease.emit(TurnStarted(turn=number))
            changes = [RecordStep(step=tool(1))] if number % 3 == 0 else []
            commits.append(lease.commit(*changes))
        results = await asyncio.gather(*commits, return_exceptions=True)
        assert [isinstance(result, Conflict) for result in results] == [number % 3 == 0 for number in range(20)]
        await lease.commit()
        events = [json.loads(line) for line in await store.journal.events(record.id, 1)]
        assert [(event["seq"], event["turn"]) for event in events] == [(turn + 2, turn) for turn in range(20)]


async def test_a_full_disk_loses_nothing_and_keeps_the_order(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        await limit(store, 1)
        commits = []
        for number in range(5):
            lease.emit(TurnStarted(turn=number))
            lease.note(tool(number + 1, b"x" * 100_000))
            commits.append(asyncio.ensure_future(lease.commit()))
            await asyncio.sleep(0)
        refused = await asyncio.gather(*commits, return_exceptions=True)
        assert {type(each) for each in refused} == {StorageUnavailable}
        await limit(store, 1_000_000)
        await lease.commit()
        events = [json.loads(line) for line in await store.journal.events(record.id, 1)]
        assert [event["turn"] for event in events] == list(range(5))
        assert len(await store.steps(record.id)) == 5


async def limit(store: Store, pages: int) -> None:
    await store._database.write(lambda tx: tx.connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())


async def test_what_waits_to_be_written_is_bounded_and_the_task_parks(store: Store) -> None:
    record = await submit(store)
    attempts: list[int] = []

    async def handler(lease: Lease) -> None:
        attempts.append(lease.attempt)
        if lease.attempt > 1:
            await lease.commit(DONE)
            return
        await lease.commit(event=TurnStarted(turn=1))
        for number in range(40):  # as much again as is on its way to the disk
            lease.note(tool(number + 1, b"x" * (MOST_PENDING_BYTES // 10)))
        await lease.commit()

    async with asyncio.timeout(20):
        await store.engine.serve(handler, slots=1, root=record.id)
    assert attempts == [1, 2]
    recorded = len(await store.steps(record.id))
    assert [step.index for step in await store.steps(record.id)] == list(range(1, recorded + 1))
    assert recorded <= 11, "what came after the first that was too much is not recorded without it"
    assert await types(store, record.id) == ["task.queued", "turn.started", "task.waiting", "run.finished"]


async def test_deltas_are_counted_and_wait_for_what_came_before_them(store: Store) -> None:
    record = await submit(store)
    there = asyncio.Event()

    async def follow() -> list[dict[str, object]]:
        lines = []
        async for line in store.journal.follow(record.id):
            there.set()
            lines.append(json.loads(line))
        return lines

    following = asyncio.create_task(follow())
    await there.wait()
    async with leased(store, record.id) as lease:
        lease.emit(TurnStarted(turn=1))
        for text in ("für ", "dich"):
            lease.emit(TextDelta(text=text, turn=1, offset=99))
            lease.emit(ThinkingDelta(text=text, turn=1))
        lease.emit(RetryScheduled(turn=1, attempt=2, reason="cut", delay_seconds=0))
        lease.emit(TextDelta(text="noch", turn=1))
        reply = Reply(Message("assistant", (Text("noch"),)))
        output = msgspec.json.encode(reply)
        step = Step(turn=1, index=0, kind="model", name="gemütlich\udcff", status="done", output=output)
        lease.note(step, ReplyFinished(turn=1, stop="end", usage=Usage()))
        await lease.commit(DONE)
    async with asyncio.timeout(10):
        lines = await following
    deltas = [(line["type"], line["after"], line["offset"]) for line in lines if "offset" in line]
    assert deltas == [
        ("text.delta", 2, 0),
        ("thinking.delta", 2, 0),
        ("text.delta", 2, 4),
        ("thinking.delta", 2, 4),
        ("text.delta", 3, 0),
    ]
    assert [step.name for step in await store.steps(record.id)] == ["gemütlich?"]


async def test_an_event_apart_from_its_step_is_shown_with_it(store: Store) -> None:
    record = await submit(store)
    following = asyncio.ensure_future(anext(aiter(store.journal.follow(record.id, 1))))
    await asyncio.sleep(0)
    async with leased(store, record.id) as lease:
        await lease.commit(RecordStep(step=tool(1)))
        await lease.commit(event=ToolFinished(turn=1, index=1, call_id="c", name="t", status="done"))
        async with asyncio.timeout(10):
            assert json.loads(await following)["result"] == {"text": "out"}


async def test_lo07_while_the_disk_sleeps_one_batch_of_a_lease_is_on_its_way(store: Store) -> None:
    record = await submit(store)
    database = store._database
    async with leased(store, record.id) as lease:
        asleep, wake = threading.Event(), threading.Event()

        def sleep(_tx: Transaction) -> None:
            asleep.set()
            wake.wait(20)

        sleeping = asyncio.ensure_future(database.write(sleep))
        await asyncio.to_thread(asleep.wait, 20)
        most = 0
        for number in range(20):
            lease.emit(TurnStarted(turn=number))
            await asyncio.sleep(0.025)  # longer than the flusher waits
            most = max(most, database._inbox.qsize())
        wake.set()
        await sleeping
        await lease.commit(DONE)
    assert most <= 1
    events = [json.loads(line) for line in await store.journal.events(record.id)]
    assert [event["turn"] for event in events if event["type"] == "turn.started"] == list(range(20))


async def test_what_is_late_is_written_when_the_disk_wakes(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        for number in range(50):
            lease.emit(TurnStarted(turn=number))
            store._flusher.flush()

        async def written() -> bool:
            return len(await types(store, record.id)) == 51

        await soon(written)
        assert not store._flusher._late
