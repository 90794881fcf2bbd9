"""Stores on one file, for the tests: opened, served by a handler, looked at from outside."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from autohands.protocols.changes import Enqueue
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task, TaskRecord
from autohands.storage import Store

PATIENCE_SECONDS = 20.0


async def submit(store: Store, prompt: str = "do it", **fields: Any) -> TaskRecord:
    """Accept a task."""
    record: TaskRecord = (await store.commit(Enqueue(task=Task(prompt=prompt, **fields))))[0]
    return record


@asynccontextmanager
async def serving(
    store: Store, handler: Callable[[Lease], Awaitable[None]], **options: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve for as long as the context is open."""
    task = asyncio.create_task(store.engine.serve(handler, **{"slots": 4, **options}))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def leased(store: Store, task: str) -> AsyncIterator[Lease]:
    """Run a task by hand: its lease is the test's for as long as the context is open."""
    claimed: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def handler(lease: Lease) -> None:
        claimed.set_result(lease)
        await done.wait()

    async with serving(store, handler, root=task):
        yield await claimed
        done.set()


@contextmanager
def tables(path: Path) -> Iterator[sqlite3.Connection]:
    """The tables, as another program sees and writes them."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


async def soon(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds that nothing tells of."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.01)
