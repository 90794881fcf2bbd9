"""One measured process: `python -m turn.worker hand URL` or `autohands URL HOME`; it talks in JSON lines."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import json
import os
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil


class Loop(Protocol):
    """Either side."""

    async def run(self, script: str, on_text: Callable[[str], None]) -> str:
        """One conversation by a script of the fake service; returns the last answer."""
        ...


@asynccontextmanager
async def opened(side: str, url: str, home: str, note_turn: Callable[[], None]) -> AsyncIterator[Loop]:
    """The side that is measured; only its own modules are imported."""
    if side == "hand":
        from . import hand

        async with hand.opened(url, note_turn) as loop:
            yield loop
    else:
        from . import ours

        async with ours.opened(url, note_turn, Path(home)) as hands:
            yield hands


class Worker:
    """Carries out commands on one side."""

    def __init__(self, loop: Loop, url: str, marks: list[float]) -> None:
        self._loop = loop
        self._root = url.removesuffix("/v1")
        self._marks = marks
        self._characters = 0

    def _on_text(self, text: str) -> None:
        self._characters += len(text)

    async def sessions(self, script: str, count: int, at_once: int) -> dict[str, float]:
        """`count` conversations, `at_once` of them side by side: CPU and wall seconds, characters heard."""
        self._characters = 0
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(count // at_once):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(at_once):
                    tasks.create_task(self._loop.run(script, self._on_text))
        return {
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
            "characters": self._characters,
        }

    async def growth(self, script: str, early: int, late: int, span: int) -> dict[str, float]:
        """One conversation: CPU seconds a turn over `span` turns around `early` and around `late`."""
        self._marks.clear()
        await self._loop.run(script, self._on_text)
        means = [(self._marks[middle + span // 2] - self._marks[middle - span // 2]) / span for middle in (early, late)]
        return {"early": means[0], "late": means[1]}

    async def memory(self, script: str, before: int, count: int) -> dict[str, float]:
        """Resident KiB for each of `count` conversations more, while they and `before` others wait for an answer."""
        await self.sessions("read-10", 4, 2)
        async with asyncio.TaskGroup() as tasks:
            first = await self._held(tasks, script, before, before)
            second = await self._held(tasks, script, count, before + count)
            await asyncio.to_thread(self._control, "/release")
        return {"kib": (second - first) / 1024 / count}

    async def _held(self, tasks: asyncio.TaskGroup, script: str, count: int, waiting: int) -> int:
        """Start `count` conversations more; resident bytes once `waiting` wait for their answer."""
        for _ in range(count):
            tasks.create_task(self._loop.run(script, self._on_text))
        while (await asyncio.to_thread(self._control, "/stats"))["held"] < waiting:
            await asyncio.sleep(0.05)
        gc.collect()
        return int(psutil.Process().memory_info().rss)

    async def profile(self, script: str, count: int, at_once: int, path: str) -> dict[str, float]:
        """The same as `sessions` under cProfile (the event loop's thread), and the CPU of all threads without it."""
        process = psutil.Process()
        before = {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
        plain = await self.sessions(script, count, at_once)
        after = {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
        own = after[os.getpid()] - before[os.getpid()]
        profile = cProfile.Profile()
        profile.enable()
        try:
            await self.sessions(script, count, at_once)
        finally:
            profile.disable()
            profile.dump_stats(path)
        return {**plain, "loop_thread": own}

    def _control(self, path: str) -> dict[str, int]:
        with urllib.request.urlopen(self._root + path, timeout=30) as response:
            answer: dict[str, int] = json.load(response)
            return answer


async def serve(side: str, url: str, home: str = "") -> None:
    """Do what standard input says, one command a line, until it ends."""
    marks: list[float] = []
    async with opened(side, url, home, lambda: marks.append(time.process_time())) as loop:
        worker = Worker(loop, url, marks)
        print("{}", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            command: dict[str, Any] = json.loads(line)
            answer = await getattr(worker, command.pop("do"))(**command)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
