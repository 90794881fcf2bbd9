"""The run loop takes a handler, and knows what runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from autohands import storage
from autohands.protocols.storage import Finish, Lease
from autohands.protocols.task import Task
from autohands.runloop.loop import RunLoop
from autohands.runloop.queue import TaskQueue


async def test_a_task_is_handed_to_the_handler_while_it_counts_as_running(home: Path) -> None:
    async with asyncio.timeout(20), storage.open(home / "autohands.db") as store:
        seen: list[frozenset[str]] = []

        async def handler(lease: Lease) -> None:
            seen.append(loop.running)
            await lease.commit(Finish(state="done", reason="done"))

        loop = RunLoop(store.engine, handler, slots=1, queues=("default", "other"))
        queue = TaskQueue(store)
        records = [await queue.submit(Task(prompt="x", queue=name)) for name in ("default", "other", "nobody's")]
        serving = asyncio.create_task(loop.run())
        for record in records[:2]:
            async for _ in store.journal.follow(record.id):
                pass
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert seen == [frozenset({records[0].id}), frozenset({records[1].id})]
        assert loop.running == frozenset()
        assert (await store.task(records[2].id)).state == "ready"
