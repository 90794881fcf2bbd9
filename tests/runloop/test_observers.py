"""Observers: the phases in Core Foundation's order, masks, modes, order, and one that raises."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from autohands.protocols.errors import Conflict
from autohands.protocols.loop import BACKGROUND, DEFAULT, Observer, Phase
from autohands.runloop.observers import Observers
from autohands.runloop.sources import Source0
from autohands.runloop.timers import Timer
from autohands.testing.clock import FakeClock
from runloop.loops import Phases, a_loop, clock_of, running

TURN = [Phase.BEFORE_TIMERS, Phase.BEFORE_SOURCES]


def noting(told: list[str], name: str) -> Callable[[Phase], None]:
    """Notes a name when it is told of a phase."""
    return lambda phase: told.append(name)


def test_those_that_want_a_phase_are_told_in_their_order() -> None:
    told: list[str] = []
    observers = Observers()
    for name, order, phases in (("last", 5, Phase.ALL), ("first", -5, Phase.ALL), ("never", 0, Phase.EXIT)):
        observers.add(Observer(name=name, notice=noting(told, name), phases=phases, order=order))
    observers.notify(Phase.ENTRY, DEFAULT)
    assert told == ["first", "last"]


def test_one_of_another_mode_is_not_told() -> None:
    told: list[Phase] = []
    observers = Observers()
    observers.add(Observer(name="x", notice=told.append, modes=(BACKGROUND,)))
    observers.notify(Phase.ENTRY, DEFAULT)
    assert told == []
    observers.notify(Phase.ENTRY, BACKGROUND)
    assert told == [Phase.ENTRY]


def test_one_that_is_removed_meanwhile_is_not_told() -> None:
    told: list[str] = []
    observers = Observers()
    observers.add(Observer(name="a", notice=lambda phase: observers.remove("b")))
    observers.add(Observer(name="b", notice=lambda phase: told.append("b")))
    observers.notify(Phase.ENTRY, DEFAULT)
    assert (told, len(observers)) == ([], 1)


@pytest.mark.parametrize("error", [RuntimeError("sour"), SystemExit("sour"), asyncio.CancelledError("sour")])
def test_one_that_raises_harms_nobody_and_is_reported_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(phase: Phase) -> None:
        raise error

    told: list[Phase] = []
    observers = Observers()
    observers.add(Observer(name="broken", notice=broken))
    observers.add(Observer(name="sound", notice=told.append))
    with caplog.at_level(logging.ERROR):
        for _ in range(1000):
            observers.notify(Phase.BEFORE_TIMERS, DEFAULT)
    status = observers.status()[0]
    assert (len(told), status.failures, len(caplog.records)) == (1000, 1000, 1)
    assert "observer broken failed" in caplog.text
    assert "sour" in status.reason


def test_a_name_is_taken_once() -> None:
    observers = Observers()
    observers.add(Observer(name="x", notice=lambda phase: None))
    with pytest.raises(Conflict, match="'x' already"):
        observers.add(Observer(name="x", notice=lambda phase: None))


async def test_the_phases_come_in_their_order() -> None:
    clock, seen = FakeClock(0), Phases()
    loop = a_loop(clock=clock_of(clock))

    async def performed() -> None:
        seen.note("source0")

    async def fired() -> None:
        seen.note("timer")

    source = Source0("source", performed)
    loop.add_observer(seen.observer)
    loop.add_source0(source)
    loop.add_timer(Timer(name="timer", fire=fired, after_seconds=1))
    async with running(loop):
        await seen.asleep()
        seen.noted.append("-- signalled")
        source.signal()
        await seen.until("source0")
        await seen.asleep()
        seen.noted.append("-- later")
        await clock.advance(1)
        await seen.until("timer")
        await seen.asleep()
        seen.noted.append("-- stopped")
    began, signalled, later, stopped = parts(seen.noted)
    woken = [Phase.AFTER_WAITING, *TURN]
    assert began == [Phase.ENTRY, *TURN, *TURN, Phase.BEFORE_WAITING]  # what was added has woken it already
    assert signalled[:4] == [*woken, "source0"]
    assert later[:4] == [*woken, "timer"]
    assert (signalled[-1], later[-1]) == (Phase.BEFORE_WAITING, Phase.BEFORE_WAITING)
    assert stopped == [Phase.AFTER_WAITING, Phase.EXIT]


def parts(noted: list[object]) -> list[list[object]]:
    """What was noted, cut where the test did something."""
    cut: list[list[object]] = [[]]
    for each in noted:
        if isinstance(each, str) and each.startswith("--"):
            cut.append([])
        else:
            cut[-1].append(each)
    return cut


async def test_the_loop_outlives_an_observer_that_raises_and_tells_its_status() -> None:
    seen = Phases()
    loop = a_loop()

    def broken(phase: Phase) -> None:
        raise ValueError("no")

    loop.add_observer(Observer(name="broken", notice=broken))
    loop.add_observer(seen.observer)
    async with running(loop) as task:
        await seen.asleep()
        loop.wake_up()
        await seen.until(Phase.AFTER_WAITING)
        assert not task.done()
        assert {each.name: each.failures > 0 for each in loop.status()} == {"broken": True, "phases": False}


async def test_one_that_comes_late_is_told_and_one_that_goes_is_not() -> None:
    seen, late = Phases(), Phases("late", phases=Phase.BEFORE_SOURCES)
    loop = a_loop()
    loop.add_observer(seen.observer)
    async with running(loop):
        await seen.asleep()
        loop.add_observer(late.observer)
        await late.until(Phase.BEFORE_SOURCES)
        loop.remove("late")
        told = len(late.noted)
        loop.wake_up()
        await seen.until(Phase.BEFORE_SOURCES, seen.noted.count(Phase.BEFORE_SOURCES) + 1)
    assert len(late.noted) == told
