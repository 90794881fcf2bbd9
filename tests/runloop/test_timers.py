"""Timers: once or at intervals, never early, once for all that was missed, sharing wake-ups, in their modes."""

import asyncio
import math
from typing import Any

import pytest

from autohands.protocols.errors import BadRequest, Conflict
from autohands.protocols.loop import BACKGROUND, DEFAULT, Phase
from autohands.runloop.timers import Clock, Timer, Timers
from autohands.testing.clock import FakeClock
from runloop.loops import Phases, a_loop, clock_of, running


async def nothing() -> None:
    pass


def a_timer(name: str = "t", /, **fields: Any) -> Timer:
    return Timer(name=name, fire=nothing, **fields)


def names(timers: Timers, mode: str = DEFAULT) -> list[str]:
    return [timer.name for timer, _ in timers.take_due(mode)]


def at(seconds: float) -> FakeClock:
    return FakeClock(seconds)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"after_seconds": -1.0},
        {"every_seconds": 0.0},
        {"every_seconds": math.inf},
        {"every_seconds": math.nan},
        {"after_seconds": 1.0, "tolerance_seconds": -1.0},
    ],
)
def test_a_time_that_makes_no_sense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(BadRequest, match="timer 't'"):
        a_timer("t", **fields)


def test_it_fires_never_early_and_once_alone() -> None:
    clock = at(100)
    timers = Timers(clock_of(clock))
    timers.add(a_timer(after_seconds=10))
    clock.seconds = 109.99
    assert names(timers) == []
    clock.seconds = 110
    assert names(timers) == ["t"]
    assert (names(timers), timers.next_at(DEFAULT), timers.status()) == ([], None, [])


def test_one_that_is_late_fires_once_and_keeps_its_beat() -> None:
    clock = at(0)
    timers = Timers(clock_of(clock))
    timers.add(a_timer(every_seconds=10))
    clock.seconds = 57
    assert (names(timers), names(timers)) == (["t"], [])
    assert timers.next_at(DEFAULT) == 60


def test_the_first_time_may_be_another() -> None:
    clock = at(0)
    timers = Timers(clock_of(clock))
    timers.add(a_timer(after_seconds=0, every_seconds=10))
    assert names(timers) == ["t"]
    assert timers.next_at(DEFAULT) == 10


def test_a_tolerance_lets_timers_share_a_wake_up() -> None:
    clock = at(0)
    timers = Timers(clock_of(clock))
    timers.add(a_timer("loose", after_seconds=10, tolerance_seconds=5))
    timers.add(a_timer("strict", after_seconds=14))
    assert timers.next_at(DEFAULT) == 14
    clock.seconds = 14
    assert sorted(names(timers)) == ["loose", "strict"]


def test_without_a_tolerance_each_has_its_own() -> None:
    timers = Timers(clock_of(at(0)))
    timers.add(a_timer("first", after_seconds=10))
    timers.add(a_timer("second", after_seconds=14))
    assert timers.next_at(DEFAULT) == 10


def test_those_due_together_fire_in_their_order() -> None:
    clock = at(0)
    timers = Timers(clock_of(clock))
    for name, order, seconds in (("c", 2, 1.0), ("b", 1, 3.0), ("a", 1, 2.0)):
        timers.add(a_timer(name, after_seconds=seconds, order=order))
    clock.seconds = 5
    assert names(timers) == ["a", "b", "c"]


def test_one_of_another_mode_waits_for_it() -> None:
    clock = at(0)
    timers = Timers(clock_of(clock))
    timers.add(a_timer(after_seconds=1, modes=(BACKGROUND,)))
    clock.seconds = 5
    assert (names(timers), timers.next_at(DEFAULT), timers.next_at(BACKGROUND)) == ([], None, 1)
    assert names(timers, BACKGROUND) == ["t"]


def test_a_name_is_taken_until_it_is_removed() -> None:
    timers = Timers(Clock())
    timers.add(a_timer(after_seconds=1))
    with pytest.raises(Conflict, match="'t' already"):
        timers.add(a_timer(after_seconds=2))
    timers.remove("t")
    timers.add(a_timer(after_seconds=2))


async def test_the_loop_sleeps_until_the_next_one_is_due() -> None:
    clock, seen = FakeClock(0), Phases()
    loop = a_loop(clock=clock_of(clock))
    fired: list[float] = []

    async def fire() -> None:
        fired.append(clock.seconds)
        seen.note("fired")

    loop.add_observer(seen.observer)
    loop.add_timer(Timer(name="hourly", fire=fire, every_seconds=3600))
    async with running(loop):
        await seen.asleep()
        turns = seen.noted.count(Phase.BEFORE_TIMERS)
        await clock.advance(3599)
        assert (fired, seen.noted.count(Phase.BEFORE_TIMERS)) == ([], turns)
        await clock.advance(1)
        await seen.until("fired")
        await seen.asleep()
        await clock.advance(3 * 3600)
        await seen.until("fired", 2)
    assert fired == [3600, 4 * 3600]


async def test_one_that_fails_fires_again_and_one_that_is_still_at_it_does_not() -> None:
    clock, seen = FakeClock(0), Phases()
    loop = a_loop(clock=clock_of(clock))
    go_on = asyncio.Event()
    begun = 0

    async def slow() -> None:
        nonlocal begun
        begun += 1
        await go_on.wait()
        seen.note("at last")

    async def broken() -> None:
        seen.note("broken")
        raise RuntimeError("no battery")

    loop.add_observer(seen.observer)
    loop.add_timer(Timer(name="slow", fire=slow, every_seconds=1))
    loop.add_timer(Timer(name="broken", fire=broken, every_seconds=1))
    async with running(loop):
        for times in (1, 2, 3):
            await seen.asleep()
            await clock.advance(1)
            await seen.until("broken", times)
        status = {each.name: each for each in loop.status()}
        assert (begun, status["slow"].state, status["broken"].failures) == (1, "running", 3)
        assert "no battery" in status["broken"].reason
        go_on.set()
        await seen.until("at last")
        await seen.asleep()
        await clock.advance(1)
        await seen.until("broken", 4)
        assert begun == 2


async def test_a_timer_that_is_removed_does_not_fire() -> None:
    clock, seen = FakeClock(0), Phases()
    loop = a_loop(clock=clock_of(clock))

    async def fire() -> None:
        seen.note("fired")

    loop.add_observer(seen.observer)
    for name in ("kept", "gone"):
        loop.add_timer(Timer(name=name, fire=fire, after_seconds=1))
    async with running(loop):
        loop.remove("gone")
        loop.remove("never there")
        await seen.asleep()
        await clock.advance(2)
        await seen.until("fired")
        await seen.asleep()
    assert seen.noted.count("fired") == 1


async def test_one_that_fires_once_waits_for_its_namesake_to_end() -> None:
    go_on, fired = asyncio.Event(), asyncio.Event()
    loop = a_loop()

    async def first() -> None:
        loop.add_timer(Timer(name="t", fire=second, after_seconds=0))
        await go_on.wait()

    async def second() -> None:
        fired.set()

    loop.add_timer(Timer(name="t", fire=first, after_seconds=0))
    async with running(loop):
        for _ in range(20):
            await asyncio.sleep(0)
        assert not fired.is_set()
        go_on.set()
        await fired.wait()
