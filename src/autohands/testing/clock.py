"""A clock that a test moves: nothing waits for real time."""

from __future__ import annotations

import asyncio
import heapq


class FakeClock:
    """Seconds that pass when `advance` says so. `sleep` fits wherever `asyncio.sleep` does; `slept` lists its waits.

    With `restless=True` a sleep ends at once and moves the clock by itself.
    """

    def __init__(self, start_seconds: float = 1_800_000_000.0, *, restless: bool = False) -> None:
        self.seconds = start_seconds
        self.slept: list[float] = []
        self._restless = restless
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        """The time as integer milliseconds."""
        return round(self.seconds * 1000)

    def monotonic(self) -> float:
        """The time in seconds."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved on by `seconds`."""
        self.slept.append(seconds)
        if self._restless or seconds <= 0:
            self.seconds += max(seconds, 0.0)
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.seconds + seconds, len(self.slept), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move the clock on, waking those whose time has come, each at its own time and in order."""
        end = self.seconds + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self.seconds, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await asyncio.sleep(0)
        self.seconds = end
        await asyncio.sleep(0)
