"""`autohands queue`: what stands where, as text and as JSON."""

from pathlib import Path

import pytest

from autohands import storage
from autohands.cli.queue import describe
from autohands.protocols.changes import Enqueue
from autohands.protocols.queues import LimitQueues, QueueLimits
from autohands.protocols.task import Task
from cli.command import run


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (QueueLimits(name="q"), ""),
        (QueueLimits(name="q", concurrency=2, rate=30, period_seconds=0.5), "2 at once, 30 in 0.5 s"),
        (QueueLimits(name="q", depth=10), "10 wait"),
        (QueueLimits(name="q", depth=None), "any number waits"),
    ],
)
def test_limits_are_told_in_words(limits: QueueLimits, words: str) -> None:
    assert describe(limits) == words


@pytest.mark.slow
async def test_queues_are_listed(home: Path) -> None:
    empty = await run("queue", "list")
    assert (empty.status, empty.out) == (0, "")
    async with storage.open(home / "autohands.db") as store:
        await store.commit(LimitQueues(limits=(QueueLimits(name="background", concurrency=2, rate=5),)))
        await store.commit(*(Enqueue(task=Task(prompt="x", session="s", queue="night")) for _ in range(3)))
    (background, night) = (await run("queue", "list", "--json")).json["items"]
    assert (background["queue"], background["concurrency"], background["ready"]) == ("background", 2, 0)
    assert (night["ready"], night["blocked"], night["depth"]) == (1, 2, 100_000)
    assert night["oldest"] is not None
    text = (await run("queue", "list")).out
    assert "2 at once, 5 in 1 s" in text
