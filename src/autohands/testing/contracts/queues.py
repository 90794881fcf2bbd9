"""What queues must keep to: subclass the class and give it a fixture `durable`, a fresh `Durable` for each test."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from autohands.protocols.changes import Cancel, Enqueue, Park, Pause, Redo
from autohands.protocols.errors import BadRequest, NotFound, TooBusy
from autohands.protocols.queues import LimitQueues, QueueLimits
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task
from autohands.sdk.identity import now_ms
from autohands.testing.contracts.durable import DONE, PATIENCE_SECONDS, Durable, events_of, finish, serve, submit
from autohands.testing.contracts.resting import running, state, until

HOUR_MS = 3_600_000


class QueuesContract:
    """Limits of queues, and fairness between sessions."""

    # --- queues

    @pytest.mark.parametrize("most", [2, None])
    async def test_so_many_tasks_of_a_queue_run_at_once(self, durable: Durable, most: int | None) -> None:
        await limit(durable, concurrency=most)
        records = [await submit(durable) for _ in range(6)]
        there = [0]
        peak = [0]

        async def handler(lease: Lease) -> None:
            there[0] += 1
            peak[0] = max(peak[0], there[0])
            await asyncio.sleep(0.02)
            there[0] -= 1
            await lease.commit(DONE)

        async with running(durable, handler), running(durable, handler):
            for record in records:
                await events_of(durable, record.id)
        assert peak[0] == 2 if most else peak[0] > 2

    async def test_a_full_queue_holds_no_other_up(self, durable: Durable) -> None:
        await limit(durable, concurrency=1)
        first, second, other = await submit(durable), await submit(durable), await submit(durable, queue="other")
        release = asyncio.Event()

        async def handler(lease: Lease) -> None:
            if lease.record.id == first.id:
                await release.wait()
            await lease.commit(DONE)

        serving = asyncio.create_task(durable.engine.serve(handler, slots=3, queues=lambda: ("default", "other")))
        await events_of(durable, other.id)
        assert (await state(durable, first), await state(durable, second)) == ("running", "ready")
        release.set()
        await events_of(durable, second.id)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    async def test_limits_hold_for_who_serves_one_task_alone(self, durable: Durable) -> None:
        await limit(durable, concurrency=1)
        root = await submit(durable, queue="mine")
        children = [await submit(durable, parent=root.id) for _ in range(3)]
        there: list[str] = []

        async def handler(lease: Lease) -> None:
            if lease.record.id == root.id:
                for child in children:
                    await events_of(durable, child.id)
                await lease.commit(DONE)
                return
            there.append(lease.record.id)
            assert len(there) == 1
            await asyncio.sleep(0.01)
            there.clear()
            await lease.commit(DONE)

        await serve(durable, root.id, handler)
        assert {await state(durable, child) for child in children} == {"done"}

    async def test_so_many_tasks_start_within_a_period(self, durable: Durable) -> None:
        period = 0.4
        await limit(durable, rate=2, period_seconds=period)
        records = [await submit(durable) for _ in range(5)]
        started: list[int] = []

        async def handler(lease: Lease) -> None:
            started.append(now_ms())
            await lease.commit(DONE)

        async with running(durable, handler):
            for record in records:
                await events_of(durable, record.id)
        slack = 100  # a start is told a little later than it happened
        assert all(
            later - earlier >= period * 1000 - slack for earlier, later in zip(started, started[2:], strict=False)
        )
        assert started[1] - started[0] < period * 1000

    async def test_lo07_a_full_queue_says_come_back_later(self, durable: Durable) -> None:
        await limit(durable, depth=3, rate=1, period_seconds=60)
        records = [await submit(durable, idempotency_key="k"), await submit(durable, session="s")]
        await submit(durable, session="s", not_before=now_ms() + HOUR_MS)
        with pytest.raises(TooBusy, match="'default' is full: 3 tasks") as full:
            await submit(durable)
        assert full.value.retry_after_seconds >= 1
        assert len(await durable.storage.tasks()) == 3
        assert (await submit(durable, idempotency_key="k")).id == records[0].id, "what is accepted stays accepted"
        await submit(durable, queue="other")
        await durable.storage.commit(Cancel(task=records[1].id))
        await submit(durable)

    async def test_limits_that_let_nothing_through_are_refused(self, durable: Durable) -> None:
        for wrong in ({"concurrency": 0}, {"rate": -1}, {"rate": 1 << 64}, {"period_seconds": math.nan}, {"depth": 0}):
            with pytest.raises(BadRequest, match=next(iter(wrong))):
                await limit(durable, **wrong)
        await limit(durable, depth=1)
        await durable.storage.commit(LimitQueues(limits=()))
        for _ in range(2):
            await submit(durable)

    async def test_queues_are_listed_with_what_stands_in_them(self, durable: Durable) -> None:
        await limit(durable, concurrency=3)
        first = await submit(durable, queue="a", session="s")
        await submit(durable, queue="a", session="s")
        await submit(durable, queue="a", not_before=now_ms() + HOUR_MS)
        await submit(durable, queue="a", priority="urgent")
        resting = await submit(durable, queue="a")
        await durable.storage.commit(Pause(task=resting.id))
        found = {each.limits.name: each for each in await durable.storage.queues.all()}
        assert list(found) == ["a", "default"]
        a, default = found["a"], found["default"]
        assert (a.ready, a.blocked, a.delayed, a.paused, a.running, a.waiting) == (2, 1, 1, 1, 0, 0)
        assert (a.oldest, a.limits) == (first.created, QueueLimits(name="a"))
        assert (default.limits.concurrency, default.ready, default.oldest) == (3, 0, None)
        await durable.storage.commit(Redo(task=first.id, queue="b"))
        found = {each.limits.name: each for each in await durable.storage.queues.all()}
        assert (found["a"].ready, found["b"].ready) == (1, 1)

    # --- fairness

    async def test_lo04_a_session_that_floods_delays_others_by_one_task(self, durable: Durable) -> None:
        flood = [await submit(durable, session="flood") for _ in range(200)]
        ran: list[str] = []
        answered = asyncio.Event()
        others: list[str] = []

        async def handler(lease: Lease) -> None:
            ran.append(lease.record.id)
            if len(ran) in (3, 10, 20):
                others.extend([(await submit(durable)).id for _ in range(5)])
            await lease.commit(DONE)
            if len(others) == 15 and set(others) <= set(ran):
                answered.set()

        serving = asyncio.create_task(durable.engine.serve(handler, slots=1))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await answered.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        places = [ran.index(task) for task in others]
        for burst, at in ((others[:5], 3), (others[5:10], 10), (others[10:], 20)):
            last = max(places[others.index(task)] for task in burst)
            assert last - at <= 1.5 * len(burst), "they wait for each other, and once for the session that floods"
        done = [task for task in ran if task not in others]
        assert done == [record.id for record in flood[: len(done)]]

    async def test_priority_is_worth_its_minutes_behind_a_predecessor_too(self, durable: Durable) -> None:
        first = await submit(durable, session="s")
        second = await submit(durable, session="s", priority="low")
        ran: list[str] = []
        rest: list[str] = []

        async def handler(lease: Lease) -> None:
            ran.append(lease.record.id)
            if lease.record.id == first.id:
                rest.append((await submit(durable)).id)
            await lease.commit(DONE)

        serving = asyncio.create_task(durable.engine.serve(handler, slots=1))
        await events_of(durable, second.id)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert ran == [first.id, *rest, second.id]


class BoundsContract:
    """When a task may begin at the earliest and at the latest, and how far a tree of tasks may grow."""

    # --- after

    @pytest.mark.parametrize("end", ["done", "cancelled"])
    async def test_a_task_comes_after_others_however_they_end(self, durable: Durable, end: str) -> None:
        one, two = await submit(durable), await submit(durable)
        over = await submit(durable)
        await durable.storage.commit(Cancel(task=over.id))
        after = await submit(durable, after=(one.id, two.id, one.id, over.id), session="s")
        assert (after.state, after.run_at) == ("delayed", 0)
        assert (await submit(durable, session="s")).state == "ready", "it holds nobody back"
        for record in (one, two):
            assert await state(durable, after) == "delayed"
            if end == "done":
                await serve(durable, record.id, finish)
            else:
                await durable.storage.commit(Cancel(task=record.id))
        assert await state(durable, after) == "blocked"
        assert (await submit(durable, after=(one.id, over.id))).state == "ready"

    async def test_a_task_after_an_unknown_one_is_refused(self, durable: Durable) -> None:
        foreign = await submit(durable, principal="token:other")
        for other in ("task_none", foreign.id):
            with pytest.raises(NotFound):
                await submit(durable, after=(other,))
        assert len(await durable.storage.tasks()) == 1

    @pytest.mark.parametrize("first", ["time", "task"])
    async def test_a_task_comes_after_others_and_not_before_its_time(self, durable: Durable, first: str) -> None:
        head = await submit(durable, queue="by hand")
        due = now_ms() + (40 if first == "time" else 200)
        after = await submit(durable, after=(head.id,), not_before=due)
        assert (after.state, after.run_at) == ("delayed", due)
        started: list[int] = []

        async def handler(lease: Lease) -> None:
            started.append(now_ms())
            await lease.commit(DONE)

        async with running(durable, handler):
            if first == "time":
                other = await submit(durable, not_before=due + 40)
                await events_of(durable, other.id)
                started.clear()
            assert await state(durable, after) == "delayed"
            await durable.storage.commit(Cancel(task=head.id))
            await events_of(durable, after.id)
        assert len(started) == 1
        assert started[0] >= due

    async def test_a_cancelled_task_is_waited_for_and_waits_no_more(self, durable: Durable) -> None:
        head = await submit(durable)
        after = await submit(durable, after=(head.id,))
        last = await submit(durable, after=(after.id,))
        await durable.storage.commit(Cancel(task=after.id))
        assert await state(durable, last) == "ready"
        await durable.storage.commit(Cancel(task=head.id))
        assert await state(durable, after) == "cancelled"

    # --- trees

    async def test_bu07_a_tree_grows_so_deep_and_so_wide(self, durable: Durable) -> None:
        async def child(parent: str, depth: int = 3, children: int = 2) -> str:
            enqueue = Enqueue(task=Task(prompt="x", parent=parent), depth=depth, children=children)
            return str((await durable.storage.commit(enqueue))[0].id)

        branch = [(await submit(durable)).id]
        for _ in range(3):
            branch.append(await child(branch[-1]))
        with pytest.raises(BadRequest, match="3 deep"):
            await child(branch[-1])
        await child(branch[-1], depth=4)
        await child(branch[0])
        await durable.storage.commit(Cancel(task=branch[1]))
        with pytest.raises(BadRequest, match="started 2 tasks"):
            await child(branch[0])
        await child(branch[0], children=3)

    # --- deadlines

    @pytest.mark.parametrize("stands", ["delayed", "blocked", "ready", "waiting", "paused"])
    async def test_a_deadline_ends_what_does_not_run(self, durable: Durable, stands: str) -> None:
        head = await submit(durable, session="s", queue="by hand")
        known: dict[str, dict[str, Any]] = {
            "delayed": {"not_before": now_ms() + HOUR_MS},
            "blocked": {"session": "s"},
            "ready": {"queue": "by hand"},
        }
        fields = known.get(stands, {})
        record = await submit(durable, deadline=now_ms() + 300, **fields)
        behind = await submit(durable, session=record.session)
        ran: list[str] = []

        async def handler(lease: Lease) -> None:
            ran.append(lease.record.id)
            over = lease.record.id != record.id
            await lease.commit(DONE if over else Park(reason="signal", waits=("signal:never",)))

        if stands == "paused":
            await durable.storage.commit(Pause(task=record.id))
        async with running(durable, handler):
            await until(durable, record, stands)
            events = await events_of(durable, record.id)
            assert (events[-1]["reason"], now_ms() >= (record.task.deadline or 0)) == ("time_limit", True)
        ended = await durable.storage.task(record.id)
        assert (ended.state, ended.reason, ended.finished) == ("failed", "time_limit", True)
        assert "deadline" in (ended.error or "")
        assert ran.count(record.id) == (1 if stands == "waiting" else 0)
        assert await state(durable, behind) != "blocked" or stands == "blocked"
        await durable.storage.commit(Cancel(task=head.id))

    async def test_a_deadline_leaves_what_runs_to_its_run(self, durable: Durable) -> None:
        record = await submit(durable, deadline=now_ms() + 30)

        async def handler(lease: Lease) -> None:
            if lease.record.id == record.id:
                other = await submit(durable, not_before=now_ms() + 60)
                await events_of(durable, other.id)
            await lease.commit(DONE)

        async with running(durable, handler):
            await events_of(durable, record.id)
        assert await state(durable, record) == "done"


async def limit(durable: Durable, **limits: Any) -> None:
    """Limit the default queue."""
    await durable.storage.commit(LimitQueues(limits=(QueueLimits(name="default", **limits),)))
