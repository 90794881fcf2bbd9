"""Topics as sources, over a real store: each publication is one task, in order, across a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.task import Task
from autohands.runloop.queue import TaskQueue
from autohands.runloop.subscriptions import TopicSource
from autohands.storage import Store
from runloop.loops import Inbox, Phases, a_loop, running


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    """A database of its own."""
    async with storage.open(home / "autohands.db") as opened:
        yield opened


def a_source(queue: TaskQueue) -> TopicSource:
    return TopicSource(queue, "builds", "build.*", task=Task(prompt="{topic}: why? {payload}", session="builds"))


async def subscribed(store: Store, queue: TaskQueue, inbox: Inbox) -> None:
    """Make the subscription: what nobody subscribes to is not kept."""
    loop, seen = a_loop(queue=inbox), Phases()
    loop.add_observer(seen.observer)
    loop.add_source("topic.builds", a_source(queue))
    async with running(loop):
        while not await store.topics.subscriptions():
            loop.wake_up()
            await seen.asleep()


async def test_what_was_published_is_a_task_in_its_order_also_while_nobody_heard(store: Store) -> None:
    queue, inbox = TaskQueue(store), Inbox()
    await subscribed(store, queue, inbox)
    for number in range(150):
        await queue.publish("build.failed", {"number": number, "text": "{topic}"})
    await queue.publish("deploy.failed", {})
    for expected in (150, 151):
        loop = a_loop(queue=inbox)
        loop.add_source("topic.builds", a_source(queue))
        async with running(loop):
            await inbox.until(expected)
            await queue.publish("build.done", {})
    assert inbox.prompts[:2] == [f'build.failed: why? {{"number":{n},"text":"{{topic}}"}}' for n in (0, 1)]
    assert {(task.source, task.session) for task in inbox.tasks} == {("topic:builds", "builds")}
    keys = [task.idempotency_key for task in inbox.tasks]
    assert len(set(keys[:150])) == 150


async def test_what_is_told_again_after_a_crash_makes_no_second_task(store: Store) -> None:
    queue = TaskQueue(store)
    await subscribed(store, queue, Inbox())
    await queue.publish("build.failed", {})
    for _ in range(2):  # heard, submitted, and the program is gone before the next one is asked for
        tasks = a_source(queue).tasks()
        await queue.submit(await anext(tasks))
        await tasks.aclose()  # type: ignore[attr-defined]
    assert len(await store.tasks()) == 1
