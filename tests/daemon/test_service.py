"""How a program that serves ends when it cannot go on."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from autohands.app import _serving
from autohands.daemon.service import _first_of
from autohands.runloop.loop import RunLoop


class Broken:
    """A loop that fails after its first turn."""

    async def run(self) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("the loop cannot go on")


async def test_a_loop_that_fails_ends_the_program_with_its_failure() -> None:
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="the loop cannot go on"):
            async with _serving(cast("RunLoop", Broken())):
                await asyncio.Event().wait()


async def test_the_first_that_ends_ends_the_wait_and_the_others() -> None:
    never = asyncio.Event()
    cancelled = []

    async def wait() -> None:
        try:
            await never.wait()
        finally:
            cancelled.append(True)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        await _first_of(wait(), fail())
    assert cancelled == [True]
    await _first_of(asyncio.sleep(0), wait())
    assert cancelled == [True, True]
