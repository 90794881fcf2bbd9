"""Rates and delays of one store: recorded steps a second, enqueue → start, beside the disk's own sync."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from autohands import storage
from autohands.protocols.changes import Enqueue, Finish, RecordStep
from autohands.protocols.records import Step
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task, TaskRecord
from autohands.storage import Store

WRITERS = 200
OUTPUT = b'{"text":"%b"}' % (b"x" * 200)
PAGE = b"\0" * 4096


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def syncs(folder: Path, count: int = 300) -> list[float]:
    """How many seconds each `fdatasync` of an appended page takes on this disk."""
    times = []
    file = os.open(folder / "sync", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in range(count):
        os.pwrite(file, PAGE, number * len(PAGE))
        begun = time.perf_counter()
        os.fdatasync(file)
        times.append(time.perf_counter() - begun)
    os.close(file)
    return times


@asynccontextmanager
async def serving(store: Store, handler: Callable[[Lease], Awaitable[None]], slots: int) -> AsyncIterator[None]:
    """Serve the queue `default` for as long as the block lasts."""
    work = asyncio.create_task(store.engine.serve(handler, slots=slots))
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def submit(store: Store, number: int) -> TaskRecord:
    """Accept a task in a session of its own."""
    record: TaskRecord = (await store.commit(Enqueue(task=Task(prompt=f"do {number}"))))[0]
    return record


def _step(turn: int) -> Step:
    return Step(turn=turn, index=0, kind="model", name="m", status="done", output=OUTPUT, started=1, ended=2)


async def steps_a_second(path: Path, writers: int, steps: int, *, lazily: bool = False) -> float:
    """Steps recorded a second by so many writers at once, each step synced before the next.

    With `lazily` the writer does not wait for each (`note`), as a run does between two barriers.
    """
    begun: list[float] = []
    all_there, over = asyncio.Event(), asyncio.Event()
    ended = 0

    async def handler(lease: Lease) -> None:
        nonlocal ended
        begun.append(time.perf_counter())
        if len(begun) == writers:
            all_there.set()
        await all_there.wait()
        for turn in range(1, steps + 1):
            if not lazily:
                await lease.commit(RecordStep(step=_step(turn)))
                continue
            lease.note(_step(turn))
            if turn % 10 == 0:
                await lease.commit()
        ended += 1
        if ended == writers:
            over.set()
        await lease.commit(Finish(state="done", reason="done"))

    async with storage.open(path) as store, serving(store, handler, writers):
        await asyncio.gather(*(submit(store, number) for number in range(writers)))
        await all_there.wait()
        start = time.perf_counter()
        await over.wait()
        return writers * steps / (time.perf_counter() - start)


async def starts(path: Path, count: int, at_once: int) -> tuple[list[float], list[float]]:
    """Seconds from asking to accept a task until it is acknowledged and until its handler runs, `at_once` at a time."""
    asked: dict[str, float] = {}
    accepted: list[float] = []
    started: list[float] = []
    done = asyncio.Event()

    async def handler(lease: Lease) -> None:
        started.append(time.perf_counter() - asked[lease.record.task.prompt])
        if len(started) % at_once == 0:
            done.set()
        await lease.commit(Finish(state="done", reason="done"))

    async def one(store: Store, number: int) -> None:
        asked[f"do {number}"] = begun = time.perf_counter()
        await submit(store, number)
        accepted.append(time.perf_counter() - begun)

    async with storage.open(path) as store, serving(store, handler, at_once + 10):
        for first in range(0, count, at_once):
            done.clear()
            await asyncio.gather(*(one(store, first + number) for number in range(at_once)))
            await done.wait()
            while await store.tasks(states=["running"], limit=1):
                await asyncio.sleep(0.001)
    return accepted, started


def typical(values: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    return median(values), percentile(values, 0.99)
