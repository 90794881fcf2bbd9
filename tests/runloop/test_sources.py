"""Sources: none of their tasks is lost, one that fails is begun again and reported, nothing piles up."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from autohands.protocols.errors import BadRequest, Conflict, StorageUnavailable, TooBusy
from autohands.protocols.loop import BACKGROUND, DEFAULT, MODES
from autohands.protocols.task import Task
from autohands.runloop.foreign import Status
from autohands.runloop.services import MOST_SECONDS, back_off_seconds
from autohands.runloop.sources import Source0
from autohands.testing.clock import FakeClock
from runloop.loops import Inbox, NoWork, Phases, a_loop, clock_of, running


class Told:
    """A source of what a test tells."""

    def __init__(self, tell: Callable[[], AsyncIterator[Task]], modes: tuple[str, ...] = MODES) -> None:
        self.modes = modes
        self._tell = tell

    def tasks(self) -> AsyncIterator[Task]:
        return self._tell()


class Busy:
    """Refuses every third submission for a while, and remembers how many tasks of the source are on their way."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, task: Task) -> None:
        self.asked += 1
        if self.asked % 3 == 0:
            raise TooBusy("full", retry_after_seconds=5)


async def test_a_thousand_tasks_pass_a_queue_that_is_full_now_and_then() -> None:
    clock, begun, most, inbox = FakeClock(restless=True), 0, 0, Inbox(Busy())

    async def tell() -> AsyncIterator[Task]:
        nonlocal begun, most
        for number in range(1000):
            begun += 1
            most = max(most, begun - len(inbox.tasks))
            yield Task(prompt=f"{number}")

    loop = a_loop(queue=inbox, clock=clock_of(clock))
    loop.add_source("many", Told(tell))
    async with running(loop):
        await inbox.until(1000)
    assert inbox.prompts == [f"{number}" for number in range(1000)]
    assert most == 1  # the next one is asked for when the one before was accepted
    assert set(clock.slept) == {5.0}


@pytest.mark.parametrize("error", [TooBusy("full", retry_after_seconds=3), StorageUnavailable("disk full")])
async def test_lo07_back_pressure_makes_the_same_task_wait(error: Exception) -> None:
    refusals = [error, error]

    def refuse(task: Task) -> None:
        if refusals:
            raise refusals.pop()

    async def tell() -> AsyncIterator[Task]:
        yield Task(prompt="one")
        yield Task(prompt="two")

    inbox = Inbox(refuse)
    loop = a_loop(queue=inbox, clock=clock_of(FakeClock(restless=True)))
    loop.add_source("s", Told(tell))
    async with running(loop):
        await inbox.until(2)
    assert inbox.prompts == ["one", "two"]


@pytest.mark.parametrize("error", [BadRequest("makes no sense"), Conflict("used with another body")])
async def test_a_task_that_is_refused_is_reported_and_the_next_one_heard(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(task: Task) -> None:
        if task.prompt == "bad":
            raise error

    async def tell() -> AsyncIterator[Task]:
        yield Task(prompt="bad")
        yield Task(prompt="good", source="mine")
        yield Task(prompt="also good")

    inbox = Inbox(refuse)
    loop = a_loop(queue=inbox)
    loop.add_source("s", Told(tell))
    with caplog.at_level(logging.ERROR):
        async with running(loop):
            await inbox.until(2)
    (status,) = loop.status()
    assert (status.refused, status.failures) == (1, 0)
    assert caplog.messages == [f"a task of source s is refused: {error}"]
    assert [(task.prompt, task.source) for task in inbox.tasks] == [("good", "mine"), ("also good", "s")]


@pytest.mark.parametrize("error", [OSError("gone"), SystemExit(), asyncio.CancelledError(), None])
async def test_one_that_fails_is_begun_again_later_each_time_and_reported_each_time(
    error: BaseException | None, caplog: pytest.LogCaptureFixture
) -> None:
    clock, begun, inbox = FakeClock(restless=True), 0, Inbox()

    async def tell() -> AsyncIterator[Task]:
        nonlocal begun
        begun += 1
        yield Task(prompt=f"{begun}")
        if begun < 10 and error is not None:
            raise error

    loop = a_loop(queue=inbox, clock=clock_of(clock))
    loop.add_source("s", Told(tell))
    with caplog.at_level(logging.ERROR):
        async with running(loop):
            await inbox.until(10 if error else 1)
            async with asyncio.timeout(10):
                while loop.status()[0].state != "ended":
                    await asyncio.sleep(0)
    (status,) = loop.status()
    assert (begun, status.failures, len(caplog.records)) == ((10, 9, 9) if error else (1, 0, 0))
    for count, pause in enumerate(clock.slept):
        longest = min(MOST_SECONDS, 2.0**count)
        assert longest / 2 <= pause <= longest


def test_the_pause_grows_up_to_a_minute_and_no_two_are_the_same() -> None:
    assert max(back_off_seconds(failures) for failures in range(1, 100_000, 97)) <= MOST_SECONDS
    assert len({back_off_seconds(9) for _ in range(20)}) > 1


async def test_one_that_held_out_begins_a_new_row_of_failures() -> None:
    clock, inbox = FakeClock(restless=True), Inbox()

    async def tell() -> AsyncIterator[Task]:
        yield Task(prompt="x")
        if len(inbox.tasks) == 6:
            await clock.sleep(MOST_SECONDS)
        if len(inbox.tasks) < 8:
            raise OSError("again")

    loop = a_loop(queue=inbox, clock=clock_of(clock))
    loop.add_source("s", Told(tell))
    async with running(loop):
        await inbox.until(8)
    *growing, held_out, first, second = clock.slept
    assert (len(growing), growing[-1] >= 8, held_out) == (5, True, MOST_SECONDS)
    assert first <= 1
    assert second <= 2


async def test_one_whose_mode_is_bad_or_that_is_no_iterator_is_only_a_failure() -> None:
    class Hopeless:
        @property
        def modes(self) -> tuple[str, ...]:
            raise AttributeError("modes")

        async def tasks(self) -> AsyncIterator[Task]:
            yield Task(prompt="x")

    loop, seen = a_loop(clock=clock_of(FakeClock(0))), Phases()
    loop.add_observer(seen.observer)
    loop.add_source("s", Hopeless())
    async with running(loop) as task:
        async with asyncio.timeout(10):
            while loop.status()[-1].state != "restarting":
                await asyncio.sleep(0)
        assert not task.done()


async def test_in_another_mode_the_next_task_waits() -> None:
    inbox, seen = Inbox(), Phases()

    async def tell() -> AsyncIterator[Task]:
        for number in range(3):
            seen.note(f"asked {number}")
            yield Task(prompt=f"{number}")

    loop = a_loop(NoWork(), inbox)
    loop.add_source("s", Told(tell, (BACKGROUND,)))
    loop.add_observer(seen.observer)
    async with running(loop):
        await seen.until("asked 0")
        await seen.asleep()
        assert inbox.tasks == []
        loop.enter(BACKGROUND)
        await inbox.until(3)
        loop.enter(DEFAULT)
    assert inbox.prompts == ["0", "1", "2"]


async def test_what_is_removed_is_closed_and_its_successor_begins_after_it() -> None:
    inbox, noted = Inbox(), Phases()

    def tell(name: str) -> Callable[[], AsyncIterator[Task]]:
        async def tasks() -> AsyncIterator[Task]:
            noted.note(f"{name} begins")
            try:
                yield Task(prompt=name)
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.02)
                noted.note(f"{name} ends")

        return tasks

    loop = a_loop(queue=inbox)
    async with running(loop):
        loop.add_source("s", Told(tell("old")))
        await inbox.until(1)
        with pytest.raises(Conflict, match="'source s' already"):
            loop.add_source("s", Told(tell("too soon")))
        loop.remove("s")
        loop.add_source("s", Told(tell("new")))
        await inbox.until(2)
    assert noted.noted == ["old begins", "old ends", "new begins", "new ends"]


async def test_sync_adds_what_is_new_removes_what_is_gone_and_leaves_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[str] = []
    ended = Phases()

    def source(name: str) -> Told:
        async def tasks() -> AsyncIterator[Task]:
            begun.append(name)
            try:
                await asyncio.Event().wait()
                yield Task(prompt="never")
            finally:
                ended.note(name)

        return Told(tasks)

    loop, seen, other = a_loop(), Phases(), Phases("other")
    a, b, c = source("a"), source("b"), source("c")
    loop.add_source("ours", source("ours"))
    async with running(loop):
        loop.sync([("a", a), ("b", b)], [seen.observer])
        await seen.asleep()
        for _ in range(2):  # the second time changes nothing
            loop.sync([("b", b), ("a", c)], [other.observer])
        await ended.until("a")
        await other.asleep()
        assert [(each.kind, each.name) for each in loop.status()] == [
            *(("observer", "other"), ("source", "ours"), ("source", "b"), ("source", "a"))
        ]
        loop.sync([("ours", a)], [])
        assert "'source ours' already" in caplog.text
        await ended.until("b")
    assert sorted(begun) == ["a", "b", "c", "ours"]


async def test_a_source0_is_performed_once_for_all_signals_and_again_when_signalled_meanwhile() -> None:
    performed, go_on = Phases(), asyncio.Event()

    async def perform() -> None:
        performed.note("begins")
        await go_on.wait()

    source = Source0("s", perform)
    source.signal()  # before it belongs to a loop
    loop = a_loop()
    loop.add_source0(source)
    async with running(loop):
        await performed.until("begins")
        for _ in range(100):
            source.signal()
        go_on.set()
        await performed.until("begins", 2)
        loop.remove("s")
        source.signal()
        loop.wake_up()
        await asyncio.sleep(0)
    assert performed.noted.count("begins") == 2


async def test_those_signalled_together_are_performed_in_their_order_and_in_their_mode() -> None:
    performed = Phases()
    loop = a_loop()

    def add(name: str, **options: int | tuple[str, ...]) -> None:
        async def perform() -> None:
            performed.note(name)
            raise RuntimeError("and it fails")

        source = Source0(name, perform, **options)  # type: ignore[arg-type]
        loop.add_source0(source)
        source.signal()

    add("second", order=2)
    add("first", order=1)
    add("background", modes=(BACKGROUND,))
    async with running(loop) as task:
        await performed.until("second")
        assert performed.noted == ["first", "second"]
        loop.enter(BACKGROUND)
        await performed.until("background")
        assert not task.done()
    assert [each.failures for each in loop.status()] == [1, 1, 1]


async def test_no_wake_up_is_lost() -> None:
    performed, rounds = 0, 3000
    told = asyncio.Event()
    loop = a_loop()

    async def perform() -> None:
        nonlocal performed
        await asyncio.sleep(0)
        performed += 1
        told.set()

    source = Source0("s", perform)
    loop.add_source0(source)
    async with running(loop):
        for number in range(rounds):
            told.clear()
            source.signal()
            for _ in range(number % 7):  # at each point of a turn
                await asyncio.sleep(0)
            source.signal()
            await told.wait()
            while source.signalled:
                told.clear()
                await told.wait()
    assert rounds <= performed <= 2 * rounds


async def test_a_service_that_fails_is_begun_again_and_one_that_ends_makes_room() -> None:
    clock, begun = FakeClock(restless=True), Phases()
    loop = a_loop(clock=clock_of(clock))
    failures = 2

    async def serve() -> None:
        nonlocal failures
        begun.note("begins")
        if failures:
            failures -= 1
            raise ValueError("not yet")

    async with running(loop):
        loop.add_service("s", serve)
        await begun.until("begins", 3)
        async with asyncio.timeout(10):
            while loop.status() != [
                Status(kind="service", name="s", state="ended", failures=2, reason=reason(loop.status()))
            ]:
                await asyncio.sleep(0)
        loop.add_service("s", serve)
        await begun.until("begins", 4)


def reason(statuses: list[Status]) -> str:
    (status,) = statuses
    assert "not yet" in status.reason
    return status.reason


async def test_one_that_ignores_that_it_is_cancelled_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    from autohands.runloop.beside import Beside

    beside, go_on = Beside(lambda: None, grace_seconds=0.05), asyncio.Event()

    async def stubborn() -> None:
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue

    async with asyncio.timeout(10), beside.open():
        beside.start("stubborn", stubborn)
        await asyncio.sleep(0)
    assert "stubborn does not end" in caplog.text
    go_on.set()
    await asyncio.sleep(0)


async def test_one_that_comes_while_the_loop_drains_is_not_heard() -> None:
    begun: list[str] = []

    def telling(name: str) -> Told:
        async def tell() -> AsyncIterator[Task]:
            begun.append(name)
            await asyncio.Event().wait()
            yield Task(prompt="never")

        return Told(tell)

    loop = a_loop()
    async with running(loop) as serving:
        loop.add_source("before", telling("before"))
        while not begun:
            await asyncio.sleep(0)
        draining = asyncio.create_task(loop.drain(3600))
        await asyncio.sleep(0)
        loop.add_source("after", telling("after"))
        assert await draining
        await serving
    assert begun == ["before"]
