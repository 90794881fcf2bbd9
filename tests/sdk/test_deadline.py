"""The progress timer: each of its deadlines, and what does not count."""

import asyncio

from autohands.sdk.deadline import Deadlines, ProgressTimer


class Clocked:
    """A timer with short deadlines, and what it said when it expired."""

    def __init__(self, first: float = 60.0, idle: float = 60.0, total: float = 60.0) -> None:
        self.expired: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        deadlines = Deadlines(first_byte_seconds=first, idle_seconds=idle, total_seconds=total)
        self.timer = ProgressTimer(deadlines, asyncio.get_running_loop().time(), self.expired.set_result)
        self.timer.waiting = True

    async def text(self) -> str:
        async with asyncio.timeout(10):
            return await self.expired


async def test_pr01_no_first_event() -> None:
    assert await Clocked(first=0.02).text() == "no answer within 0.02 s"


async def test_pr01_nothing_more_after_an_event() -> None:
    clocked = Clocked(idle=0.02)
    clocked.timer.progress()
    assert await clocked.text() == "the answer stopped: nothing came for 0.02 s"


async def test_pr02_the_whole_answer_has_an_end_however_lively_it_is() -> None:
    clocked = Clocked(idle=0.2, total=0.05)
    while not clocked.expired.done():
        clocked.timer.progress()
        await asyncio.sleep(0.001)
    assert await clocked.text() == "the answer took longer than 0.05 s"


async def test_progress_puts_the_end_off() -> None:
    clocked = Clocked(idle=0.2)
    for _ in range(30):
        clocked.timer.progress()
        await asyncio.sleep(0.01)
        assert not clocked.expired.done()
    clocked.timer.stop()


async def test_a_reader_that_is_busy_is_not_idle() -> None:
    clocked = Clocked(idle=0.02)
    clocked.timer.progress()
    clocked.timer.waiting = False
    await asyncio.sleep(0.1)
    assert not clocked.expired.done()
    clocked.timer.waiting = True
    assert "nothing came" in await clocked.text()


async def test_the_last_words_are_hurried() -> None:
    clocked = Clocked()
    clocked.timer.progress()
    clocked.timer.hurry(0.02)
    clocked.timer.hurry(30.0)
    assert await clocked.text() == "the answer stopped: nothing came for 0.02 s"


async def test_a_stopped_timer_says_nothing() -> None:
    clocked = Clocked(first=0.01)
    clocked.timer.stop()
    await asyncio.sleep(0.05)
    assert not clocked.expired.done()
