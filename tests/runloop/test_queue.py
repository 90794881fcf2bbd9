"""The queue: what it refuses, and what its middleware may do to a task on its way in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.errors import BadRequest, TooBusy
from autohands.protocols.task import Task, TaskRecord
from autohands.runloop.queue import MAX_PROMPT_CHARACTERS, Submit, TaskQueue
from autohands.storage import Store


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    """A database of its own."""
    async with storage.open(home / "autohands.db") as opened:
        yield opened


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
    with pytest.raises(BadRequest, match=problem):
        await TaskQueue(store).submit(task)
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
        return await submit(Task(prompt=task.prompt.upper()))

    queue = TaskQueue(store, [measure, rewrite])
    await queue.submit(Task(prompt="hello"))
    with pytest.raises(TooBusy):
        await queue.submit(Task(prompt="no"))
    assert seen == ["before hello", "after HELLO", "before no"]
    assert [task.task.prompt for task in await store.tasks()] == ["HELLO"]
