"""Many schedules due in the same minute: how many were fired, missed, fired twice, and how late."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from autohands import storage
from autohands.protocols.schedule import SaveSchedule, Schedule
from autohands.protocols.task import Task
from autohands.runloop.schedules import Schedules
from autohands.sdk.identity import now_ms
from autohands.storage import Store

AHEAD_MS = 3_000


def schedule(number: int) -> Schedule:
    """One of many."""
    return Schedule(name=f"job-{number:05}", kind="interval", when="1d", task=Task(prompt="Look around"))


async def prepared(store: Store, many: int) -> int:
    """Keep as many schedules, all due at one time soon; that time."""
    due = now_ms() + AHEAD_MS + many // 5
    for first in range(0, many, 1000):
        numbers = range(first, min(first + 1000, many))
        await store.commit(*(SaveSchedule(schedule=schedule(number), next_at=due) for number in numbers))
    return due


async def measure(database: Path, many: int, programs: int) -> None:
    """Fire them, by several programs at once, and print what became of them."""
    async with storage.open(database) as store:
        due = await prepared(store, many)
        early = due > now_ms()
        running = [asyncio.ensure_future(Schedules(store).run()) for _ in range(programs)]
        while (following := await store.schedules.next_due()) is None or following <= due:
            await asyncio.sleep(0.05)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        rows = [row for number in range(many) for row in await store.schedules.history(schedule(number).name)]
        keys = Counter(task.task.idempotency_key for task in await store.tasks(limit=2 * many))
    late = sorted(row.created - row.at for row in rows if row.state == "fired")
    lines = {
        "schedules due at one time": many,
        "programs that fire": programs,
        "fired": len(late),
        "missed": many - len({row.schedule for row in rows if row.state == "fired"}),
        "twice": sum(keys.values()) - many,
        "early": sum(1 for each in late if each < 0) + (0 if early else many),
        "lateness p50, ms": late[len(late) // 2],
        "lateness p99, ms": late[len(late) * 99 // 100],
        "lateness, the last, ms": late[-1],
    }
    print(f"| {'many schedules in one minute':32} | {'':>9} |\n|{'-' * 34}|{'-' * 11}|")
    for name, value in lines.items():
        print(f"| {name:32} | {value:>9,} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--programs", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autohands-schedules-", dir=Path.cwd()) as folder:
        asyncio.run(measure(Path(folder) / "home" / "autohands.db", given.schedules, given.programs))
