"""A request gets its answer, once, or is told in time that there is none; deliveries become tasks within limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from autohands import storage
from autohands.protocols.errors import BadRequest, Conflict, RetryableError, TooBusy
from autohands.protocols.task import TaskRecord
from autohands.protocols.topics import Publication, Subscribe
from autohands.runloop.deliveries import DAY_MS, SourceLimit, SourceRate, task_of_delivery
from autohands.runloop.queue import TaskQueue, reply_topic
from autohands.sdk.identity import now_ms
from autohands.storage import Store
from storage.stores import tables

PATIENCE_SECONDS = 20.0


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    """A database of its own."""
    async with storage.open(home / "autohands.db") as opened:
        yield opened


@pytest.fixture
async def queue(store: Store) -> TaskQueue:
    """A queue, and somebody who subscribes to questions."""
    await store.commit(Subscribe(name="clerk", pattern="ask.*"))
    return TaskQueue(store)


async def answer(queue: TaskQueue, count: int) -> list[Publication]:
    """Answer so many questions with twice their number."""
    seen: list[Publication] = []
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(queue.subscribe("clerk", "ask.*")) as questions:
        async for question in questions:
            seen.append(question)
            await queue.reply(question, {"twice": question.payload["n"] * 2})
            if len(seen) == count:
                break
    return seen


async def test_each_request_gets_its_own_answer_and_leaves_nothing(store: Store, queue: TaskQueue) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(answer(queue, 20))
        asked = [group.create_task(queue.request("ask.n", {"n": n}, timeout_seconds=15)) for n in range(20)]
    assert [each.result() for each in asked] == [{"twice": n * 2} for n in range(20)]
    with tables(store._database.path) as connection:
        assert connection.execute("SELECT name FROM subscription").fetchall() == [("clerk",)]
        assert connection.execute("SELECT DISTINCT subscriber FROM delivery").fetchall() == [("clerk",)]


@pytest.mark.parametrize("topic", ["ask.n", "nobody.hears.it"])
async def test_a_request_without_an_answer_is_told_in_time(store: Store, queue: TaskQueue, topic: str) -> None:
    with pytest.raises(RetryableError, match=rf"nobody has answered {topic} within 0\.05 s"):
        await queue.request(topic, {"n": 1}, timeout_seconds=0.05)
    assert [each.name for each in await store.topics.subscriptions()] == ["clerk"]
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BadRequest, match="cannot wait"):
            await queue.request(topic, {}, timeout_seconds=seconds)


async def test_the_first_answer_stands(store: Store, queue: TaskQueue) -> None:
    with pytest.raises(RetryableError):
        await queue.request("ask.n", {"n": 1}, timeout_seconds=0.05, key="k")
    (question,) = await store.topics.unread("clerk")
    assert await queue.reply(question, {"n": "first"})
    assert await queue.reply(question, {"n": "first"})  # the same again is still the answer
    assert not await queue.reply(question, {"n": "second"})
    assert await queue.request("ask.n", {"n": 1}, timeout_seconds=5, key="k") == {"n": "first"}
    with pytest.raises(BadRequest, match="awaits no answer"):
        await queue.reply(await queue.publish("ask.n", {"n": 2}), {})


async def test_a_key_asks_once_and_its_answer_outlives_a_restart(home: Path) -> None:
    path = home / "autohands.db"
    async with storage.open(path) as store:
        await store.commit(Subscribe(name="clerk", pattern="ask.*"))
        with pytest.raises(RetryableError):
            await TaskQueue(store).request("ask.n", {"n": 4}, timeout_seconds=0.05, key="order-17")
    async with storage.open(path) as store:
        assert len(await answer(TaskQueue(store), 1)) == 1
    async with storage.open(path) as store:
        queue = TaskQueue(store)
        for _ in range(2):
            assert await queue.request("ask.n", {"n": 4}, timeout_seconds=5, key="order-17") == {"twice": 8}
        assert len(await store.topics.unread("clerk")) == 1  # asked once
        with pytest.raises(Conflict):
            await queue.request("ask.n", {"n": 5}, timeout_seconds=5, key="order-17")


async def test_an_answer_that_comes_too_late_harms_nobody(store: Store, queue: TaskQueue) -> None:
    with pytest.raises(RetryableError):
        await queue.request("ask.n", {"n": 1}, timeout_seconds=0.05)
    (question,) = await store.topics.unread("clerk")
    assert await queue.reply(question, {})


def test_a_reply_topic_is_private_and_the_same_for_the_same_key() -> None:
    assert reply_topic("a") == reply_topic("a") != reply_topic("b")
    assert reply_topic(None) != reply_topic(None)
    assert reply_topic("x" * 10_000).startswith("_reply.")


# --- deliveries


def test_a_delivery_becomes_a_task_that_is_not_trusted() -> None:
    payload = {"ref": "{delivery}", "n": 1}
    task = task_of_delivery("github", "id-1", payload, "From {source} ({delivery}): {payload} {unknown} {")
    assert task.prompt == 'From github (id-1): {"ref":"{delivery}","n":1} {unknown} {'
    assert (task.source, task.idempotency_key, task.payload) == ("webhook:github", "id-1", None)
    assert task_of_delivery("github", "id-1", payload, "Look").payload == payload  # else the model would not see it
    assert (task.labels.integrity, task.labels.untrusted) == ("untrusted", True)


@pytest.mark.parametrize(
    ("source", "delivery", "payload"),
    [
        ("", "1", {}),
        ("a b", "1", {}),
        ("a", "", {}),
        ("a", "x" * 256, {}),
        ("a", "\n", {}),
        ("a", "1", {"x": object()}),
    ],
)
def test_a_delivery_that_makes_no_sense_is_refused(source: str, delivery: str, payload: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        task_of_delivery(source, delivery, payload, "{payload}")


async def test_one_delivery_is_one_run_however_often_it_comes(queue: TaskQueue, store: Store) -> None:
    async def deliver() -> TaskRecord:
        return await queue.submit(task_of_delivery("github", "id-1", {"n": 1}, "Look: {payload}"))

    async with asyncio.timeout(PATIENCE_SECONDS):
        ids = {record.id for record in await asyncio.gather(*(deliver() for _ in range(20)))}
    assert ids == {record.id for record in await store.tasks()}
    assert len(ids) == 1
    assert (await queue.submit(task_of_delivery("gitlab", "id-1", {"n": 1}, "Look: {payload}"))).id not in ids


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limited(store: Store, clock: Clock, **limit: Any) -> TaskQueue:
    """A queue whose webhooks are limited."""
    rate = SourceRate(store, [SourceLimit(source="webhook:*", **limit)], clock)
    return TaskQueue(store, lambda: [rate.middleware()])


async def storm(queue: TaskQueue, source: str, ids: range) -> list[TooBusy]:
    """Deliver all of these at once; the refusals."""
    tasks = [task_of_delivery(source, str(number), {}, "go") for number in ids]
    results = await asyncio.gather(*(queue.submit(task) for task in tasks), return_exceptions=True)
    refused = [each for each in results if isinstance(each, BaseException)]
    assert all(isinstance(each, TooBusy) for each in refused), refused
    return [each for each in refused if isinstance(each, TooBusy)]


async def test_bu09_a_webhook_storm_is_kept_to_its_rate(store: Store) -> None:
    clock = Clock()
    queue = limited(store, clock, burst=5, rate=2, period_seconds=10)
    refused = await storm(queue, "github", range(50))
    assert len(refused) == 45
    assert refused[0].retry_after_seconds == pytest.approx(5.0)
    assert await storm(queue, "gitlab", range(5)) == []  # a bucket for each source
    clock.now += 5.0
    assert len(await storm(queue, "github", range(100, 103))) == 2
    clock.now += 1000.0
    assert len(await storm(queue, "github", range(200, 210))) == 5
    await queue.submit(task_of_delivery("x", "1", {}, "go"))
    assert len(await store.tasks()) == 5 + 5 + 1 + 5 + 1


async def test_bu09_without_a_limit_that_matches_nothing_is_refused(store: Store) -> None:
    rate = SourceRate(store, [SourceLimit(source="webhook:github", burst=1)], Clock())
    queue = TaskQueue(store, lambda: [rate.middleware()])
    assert await storm(queue, "gitlab", range(50)) == []
    assert len(await storm(queue, "github", range(50))) == 49


async def test_bu09_a_day_has_a_cap_that_outlives_a_restart(home: Path) -> None:
    path = home / "autohands.db"
    async with storage.open(path) as store:
        queue = limited(store, Clock(), burst=100, runs_per_day=3)
        refused = await storm(queue, "github", range(10))
        assert len(refused) == 7
        assert 0 < refused[0].retry_after_seconds <= 86_400
    async with storage.open(path) as store:
        assert len(await storm(limited(store, Clock(), burst=100, runs_per_day=4), "github", range(20, 30))) == 9
        assert len(await store.tasks()) == 4
    with tables(path) as connection:
        connection.execute("UPDATE task SET created = ?", (now_ms() - DAY_MS,))
    async with storage.open(path) as store:
        assert await storm(limited(store, Clock(), burst=100, runs_per_day=4), "github", range(40, 44)) == []


async def test_bu09_a_delivery_that_comes_again_is_counted_once(store: Store) -> None:
    queue = limited(store, Clock(), burst=100, runs_per_day=2)
    for _ in range(10):
        assert await storm(queue, "github", range(1)) == []
    assert await storm(queue, "github", range(1, 2)) == []
    assert len(await storm(queue, "github", range(2, 3))) == 1
