"""The fake clock."""

import asyncio

from autohands.testing.clock import FakeClock


async def test_sleepers_wake_in_order_and_only_when_their_time_has_come() -> None:
    clock, woken = FakeClock(1_000.0), list[tuple[str, float]]()

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for name, seconds in (("late", 30.0), ("early", 10.0)):
            group.create_task(sleeper(name, seconds))
        await asyncio.sleep(0)
        await clock.advance(20.0)
        assert woken == [("early", 1_010.0)]
        await clock.advance(20.0)
    assert woken[-1] == ("late", 1_030.0)
    assert clock.now_ms() == 1_040_000
    assert clock.slept == [30.0, 10.0]


async def test_a_cancelled_sleeper_stops_nobody() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(clock.sleep(5))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await clock.advance(10)
    assert clock.seconds == 1_800_000_010.0


async def test_a_restless_clock_moves_by_itself() -> None:
    clock = FakeClock(0.0, restless=True)
    await clock.sleep(90.0)
    assert (clock.seconds, clock.slept) == (90.0, [90.0])
