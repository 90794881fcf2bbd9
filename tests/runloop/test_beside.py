"""What runs beside the loop: one at a time under a name, however often it is replaced."""

import asyncio

from autohands.runloop.beside import Beside


async def test_a_successor_begins_when_all_before_it_have_ended_also_those_replaced_in_between() -> None:
    going: list[str] = []
    let_go, begun, replaced = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        going.append("slow")
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await let_go.wait()
            going.remove("slow")

    async def never() -> None:
        raise AssertionError("it was cancelled before its turn")

    async def last() -> None:
        going.append("last")
        replaced.set()

    beside = Beside(lambda: None)
    async with asyncio.timeout(20), beside.open():
        beside.start("a", slow)
        await begun.wait()
        beside.cancel("a")
        beside.start("a", never)
        await asyncio.sleep(0)
        beside.cancel("a")
        for _ in range(3):
            await asyncio.sleep(0)
        beside.start("a", last)
        for _ in range(5):
            await asyncio.sleep(0)
        assert going == ["slow"]
        let_go.set()
        await replaced.wait()
        assert going == ["last"]
