"""What is told of tasks and schedules as they go on: once each, whoever ends them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from autohands import storage
from autohands.daemon.progress import Progress
from autohands.protocols.changes import Cancel, Enqueue, Finish, Park
from autohands.protocols.events import Reason
from autohands.protocols.schedule import Occurrence
from autohands.protocols.storage import Lease
from autohands.protocols.task import OWN_QUEUES, Task, TaskState
from autohands.runloop.middleware import surrounded
from autohands.storage import Store


@pytest.fixture
async def store(home: Path) -> AsyncIterator[Store]:
    async with storage.open(home / "autohands.db") as opened:
        yield opened


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The events that were told."""
    return [getattr(each, "event") for each in caplog.records if hasattr(each, "event")]  # noqa: B009  no such field


async def until(caplog: pytest.LogCaptureFixture, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until so many events of a type were told."""
    async with asyncio.timeout(20):
        while len(found := [each for each in told(caplog) if each["type"] == kind]) < count:
            await asyncio.sleep(0.01)
    return found


ENDS: dict[str, tuple[TaskState, Reason, str]] = {
    "good": ("done", "done", ""),
    "bad": ("failed", "turn_limit", "too many turns"),
}


async def handler(lease: Lease) -> None:
    prompt = lease.record.task.prompt
    if prompt == "ask" and lease.attempt == 1:
        await lease.commit(Park(reason="approval", waits=("approval:apr_1",)))
        return
    if prompt == "crash":
        raise RuntimeError("nobody expected this")
    state, reason, error = ENDS.get(prompt, ENDS["good"])
    await lease.commit(Finish(state=state, reason=reason, error=error))


async def test_tasks_begin_wait_and_end_each_told_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "autohands.daemon.progress")
    (old,) = await store.commit(Enqueue(task=Task(prompt="before")))
    await store.commit(Cancel(task=old.id))
    await asyncio.sleep(0.002)  # another millisecond
    progress = Progress(store)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(store.engine.serve(surrounded(handler, lambda: [progress.middleware]), slots=8))
        telling = tasks.create_task(progress.run())
        ids = {}
        for prompt in ("good", "bad", "crash", "ask"):
            (record,) = await store.commit(Enqueue(task=Task(prompt=prompt, source="cli")))
            ids[prompt] = record.id
        (foreign,) = await store.commit(Enqueue(task=Task(prompt="x", queue=f"{OWN_QUEUES}1")))
        await store.commit(Cancel(task=foreign.id))  # the affair of another program
        (waiting,) = await until(caplog, "task.waiting")
        assert (waiting["task"], waiting["waits"]) == (ids["ask"], ("approval:apr_1",))
        await store.commit(Cancel(task=ids["ask"]))  # while nobody runs it
        ended = {each["task"]: each for each in await until(caplog, "task.ended", 4)}
        serving.cancel()
        telling.cancel()
    began = [each["task"] for each in told(caplog) if each["type"] == "task.began"]
    assert sorted(began) == sorted(ids.values())
    assert {name: ended[task]["state"] for name, task in ids.items()} == {
        "good": "done",
        "bad": "failed",
        "crash": "failed",
        "ask": "cancelled",
    }
    assert ended[ids["bad"]]["reason"] == "turn_limit"
    assert all(each["seconds"] >= 0 for each in ended.values())
    assert len([each for each in told(caplog) if each["type"] == "task.ended"]) == 4
    assert f"task {ids['ask']} waits for an answer: autohands approval allow apr_1" in caplog.messages
    levels = {each.getMessage().split()[1]: each.levelname for each in caplog.records if " is " in each.getMessage()}
    assert (levels[ids["good"]], levels[ids["bad"]]) == ("INFO", "WARNING")


async def test_those_that_end_in_the_same_instant_are_all_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A group of changes has one time."""
    caplog.set_level(logging.INFO, "autohands.daemon.progress")
    progress = Progress(store)
    made = await store.commit(*(Enqueue(task=Task(prompt="x")) for _ in range(1200)))
    for some in (made[:1100], made[1100:]):
        await store.commit(*(Cancel(task=each.id) for each in some))
        await progress.look()
        await progress.look()
    assert [each["task"] for each in told(caplog)] == [each.id for each in made]


@pytest.mark.parametrize(
    ("occurrence", "line"),
    [
        (
            Occurrence(schedule="daily", at=0, state="fired", task="task_1"),
            "schedule daily: 1970-01-01T00:00:00Z is fired, task task_1",
        ),
        (
            Occurrence(schedule="daily", at=0, state="skipped", reason="task task_0 has not ended"),
            "schedule daily: 1970-01-01T00:00:00Z is skipped (task task_0 has not ended)",
        ),
    ],
)
async def test_a_time_of_a_schedule_is_told(
    store: Store, caplog: pytest.LogCaptureFixture, occurrence: Occurrence, line: str
) -> None:
    caplog.set_level(logging.INFO, "autohands.daemon.progress")
    Progress(store).occurred(occurrence)
    assert caplog.messages == [line]
    assert told(caplog)[0]["occurrence"] == "daily@1970-01-01T00:00:00Z"
