"""The write-ahead log: carried over while nobody waits."""

import asyncio
from pathlib import Path

from autohands.storage import Store
from autohands.storage.connection import log_bytes
from autohands.storage.log import MOST_CARRIED
from storage.stores import PATIENCE_SECONDS, submit


async def test_the_log_is_carried_over_while_nobody_waits_and_begins_anew(store: Store, path: Path) -> None:
    carried = path.stat().st_size
    for _ in range(MOST_CARRIED + 10):
        await submit(store)
    grown = log_bytes(path)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while path.stat().st_size == carried:
            await asyncio.sleep(0.01)
    for _ in range(5):
        await submit(store)
    assert log_bytes(path) <= grown
    assert len(await store.tasks(limit=1000)) == MOST_CARRIED + 15
