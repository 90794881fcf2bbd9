"""What is submitted and published: checks, middleware, durable readers, no silent drop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from msgspec.structs import replace

from autohands import storage
from autohands.protocols.errors import AutoHandsError, BadRequest, Conflict, NotFound, TooBusy
from autohands.protocols.loop import Middleware, Publishing, Submit
from autohands.protocols.task import Task, TaskRecord
from autohands.protocols.topics import Publication, Publish, Subscribe
from autohands.runloop.queue import MAX_PROMPT_CHARACTERS, TaskQueue
from autohands.storage import Store

PATIENCE_SECONDS = 20.0


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    """A database of its own."""
    async with storage.open(home / "autohands.db") as opened:
        yield opened


# --- tasks


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        (Task(prompt=" \n"), "empty"),
        (Task(prompt="x" * (MAX_PROMPT_CHARACTERS + 1)), "longer than"),
        (Task(prompt="\ud800"), "not valid Unicode"),
        (Task(prompt="x", priority="soon"), "is none of low"),
        (Task(prompt="x", priority=61), "not between -60 and 60"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_leaves_no_row(store: Store, task: Task, problem: str) -> None:
    async def make_worse(given: Task, submit: Submit) -> TaskRecord:
        return await submit(task)

    with pytest.raises(BadRequest, match=problem):
        await TaskQueue(store).submit(task)
    with pytest.raises(BadRequest, match=problem):
        await TaskQueue(store, lambda: [Middleware(name="worse", submit=make_worse)]).submit(Task(prompt="fine"))
    assert await store.tasks() == []


async def test_a_payload_is_enough(store: Store) -> None:
    record = await TaskQueue(store).submit(Task(payload={"event": "push"}))
    assert record.state == "ready"


async def test_middleware_rewrites_refuses_and_measures_outermost_first(store: Store) -> None:
    seen: list[str] = []

    async def measure(task: Task, submit: Submit) -> TaskRecord:
        seen.append(f"before {task.prompt}")
        record = await submit(task)
        seen.append(f"after {record.task.prompt}")
        return record

    async def rewrite(task: Task, submit: Submit) -> TaskRecord:
        if task.prompt == "no":
            raise TooBusy("not now", retry_after_seconds=3)
        return await submit(replace(task, prompt=task.prompt.upper()))

    middleware = [Middleware(name="rewrite", submit=rewrite), Middleware(name="measure", submit=measure, order=-1)]
    queue = TaskQueue(store, lambda: middleware)
    await queue.submit(Task(prompt="hello"))
    with pytest.raises(TooBusy, match="not now"):
        await queue.submit(Task(prompt="no"))
    assert seen == ["before hello", "after HELLO", "before no"]
    middleware.clear()
    await queue.submit(Task(prompt="unchanged"))
    assert [task.task.prompt for task in await store.tasks()] == ["unchanged", "HELLO"]


async def test_tasks_grow_neither_too_deep_nor_too_wide(store: Store) -> None:
    queue = TaskQueue(store, depth=2, children=3)
    top = await queue.submit(Task(prompt="top"))
    below = [await queue.submit(Task(prompt="below", parent=top.id)) for _ in range(3)]
    with pytest.raises(AutoHandsError, match="has started 3 tasks"):
        await queue.submit(Task(prompt="one too many", parent=top.id))
    lowest = await queue.submit(Task(prompt="lowest", parent=below[0].id))
    with pytest.raises(AutoHandsError, match="2 deep"):
        await queue.submit(Task(prompt="too deep", parent=lowest.id))
    assert len(await store.tasks()) == 5


# --- publishing


def shouting(name: str, order: int = 0) -> Middleware:
    """Appends its name to what passes; refuses `no`, breaks at `break`."""

    async def publish(change: Publish, onward: Publishing) -> Publication:
        text = str(change.payload["text"])
        if text == "no":
            raise Conflict("this is not published")
        if text == "break":
            raise ValueError("broken")
        return await onward(replace(change, payload={"text": f"{text} {name}"}))

    return Middleware(name=name, publish=publish, order=order)


async def test_middleware_around_publishing_comes_and_goes(store: Store) -> None:
    active = [shouting("inner"), shouting("innermost"), shouting("outer", order=-1)]
    queue = TaskQueue(store, lambda: active)
    await store.commit(Subscribe(name="s", pattern="a"))
    assert (await queue.publish("a", {"text": "hi"})).payload == {"text": "hi outer inner innermost"}
    with pytest.raises(Conflict, match="not published"):
        await queue.publish("a", {"text": "no"})
    active.clear()
    await queue.publish("a", {"text": "no"})
    texts = [each.payload["text"] for each in await store.topics.unread("s")]
    assert texts == ["hi outer inner innermost", "no"]


async def test_a_middleware_that_crashes_is_named(store: Store) -> None:
    queue = TaskQueue(store, lambda: [shouting("careful", order=-1), shouting("clumsy", order=1)])
    with pytest.raises(AutoHandsError, match=r"'careful' crashed: ValueError: broken .*test_queue.py, line"):
        await queue.publish("a", {"text": "break"})

    async def clumsy(change: Publish, onward: Publishing) -> Publication:
        return await onward(replace(change, payload={}))

    queue = TaskQueue(store, lambda: [Middleware(name="clumsy", publish=clumsy), shouting("careful", order=1)])
    with pytest.raises(AutoHandsError, match="'careful' crashed: KeyError"):
        await queue.publish("a", {"text": "break"})


async def test_what_comes_from_behind_a_middleware_is_not_its_fault(store: Store) -> None:
    class Behind(Exception):
        """What storage would never raise."""

    class Broken(Store):
        async def commit(self, *changes: object) -> list[object]:
            raise Behind

    queue = TaskQueue(Broken(store._database.path), lambda: [shouting("innocent")])
    with pytest.raises(Behind):
        await queue.publish("a", {"text": "hi"})


# --- reading


async def test_a_publication_is_dealt_with_when_the_next_one_is_asked_for(store: Store) -> None:
    queue = TaskQueue(store)
    await store.commit(Subscribe(name="s", pattern="n.*"))
    for number in range(5):
        await queue.publish(f"n.{number}", {})
    seen: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        for stop in (2, 3):
            async with aclosing(queue.subscribe("s", "n.*")) as publications:
                async for publication in publications:
                    seen.append(publication.topic)
                    if len(seen) >= stop:
                        break
        assert seen == ["n.0", "n.1", "n.1"]  # the second was not dealt with the first time
        async with aclosing(queue.subscribe("s", "n.*")) as publications:
            assert [(await anext(publications)).topic for _ in range(4)] == ["n.1", "n.2", "n.3", "n.4"]
        assert [each.topic for each in await store.topics.unread("s")] == ["n.4"]


async def test_a_reader_waits_for_what_is_published_later_and_by_others(store: Store) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), storage.open(store._database.path) as other:
        await store.commit(Subscribe(name="s", pattern="**"))
        async with aclosing(TaskQueue(store).subscribe("s", "**")) as publications:
            for publisher in (store, other):
                waiting = asyncio.ensure_future(anext(publications))
                published = await TaskQueue(publisher).publish("later", {"n": 1})
                assert await waiting == published


async def test_a_reader_whose_subscription_ends_hears_of_it(store: Store) -> None:
    queue = TaskQueue(store)
    await store.commit(Subscribe(name="s", pattern="a"))
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(queue.subscribe("s", "a")) as publications:
        waiting = asyncio.ensure_future(anext(publications))
        await queue.publish("a", {})
        await waiting
        await queue.unsubscribe("s")
        with pytest.raises(NotFound):
            await anext(publications)
    await store.commit(Subscribe(name="s", pattern="a"))
    with pytest.raises(Conflict):
        await anext(queue.subscribe("s", "b"))


async def test_lo07_a_reader_that_does_not_read_slows_its_publisher(store: Store) -> None:
    queue = TaskQueue(store)
    await store.commit(Subscribe(name="slow", pattern="a"))
    for _ in range(10):
        await store.commit(*[Publish(topic="a", payload={}) for _ in range(1_000)])
    with pytest.raises(TooBusy) as refused:
        await queue.publish("a", {})
    assert refused.value.retry_after_seconds > 0
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(queue.subscribe("slow", "a")) as publications:
        await anext(publications)
        await anext(publications)
        await queue.publish("a", {})


async def test_a_task_works_in_its_sessions_workspace_or_else_where_the_program_does(
    store: Store, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    queue = TaskQueue(store, workspace=str(here))
    assert (await queue.submit(Task(prompt="x"))).task.workspace == str(here)
    assert (await queue.submit(Task(prompt="x", workspace=str(there)))).task.workspace == str(there)
    first = await queue.submit(Task(prompt="x", session="s", workspace=str(there), idempotency_key="1"))
    assert (await queue.submit(Task(prompt="x", session="s"))).task.workspace == str(there)
    assert (await queue.submit(Task(prompt="x", session="s", idempotency_key="1"))).id == first.id
    fresh = Task(prompt="x", session="fresh", idempotency_key="2", principal="channel:mail:me")
    assert (await queue.submit(fresh)).id == (await queue.submit(fresh)).id
