"""What every channel must do: subclass `ChannelContract` in a test module and give it `channel` and `say`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import pytest

from autohands.protocols.channel import Channel, Incoming, Outgoing

Say: TypeAlias = Callable[[str], object]
PATIENCE_SECONDS = 10.0


class ChannelContract:
    """Fixtures: `channel`, and `say(text)`, which makes somebody say something in it."""

    @pytest.mark.asyncio
    async def test_what_is_said_comes_in_order_each_with_an_id(self, channel: Channel, say: Say) -> None:
        for text in ("one", "two\nlines", "三 ✓"):
            say(text)
        received = await _take(channel, 3)
        assert [message.text for message in received] == ["one", "two\nlines", "三 ✓"]
        assert len({message.id for message in received}) == 3
        assert all(message.peer and message.thread for message in received)

    @pytest.mark.asyncio
    async def test_a_reader_that_goes_away_loses_nothing_for_the_next(self, channel: Channel, say: Say) -> None:
        say("first")
        assert [message.text for message in await _take(channel, 1)] == ["first"]
        say("second")
        assert [message.text for message in await _take(channel, 1)] == ["second"]

    @pytest.mark.asyncio
    async def test_an_answer_has_an_id_and_sending_its_key_again_does_no_harm(self, channel: Channel, say: Say) -> None:
        say("hello")
        thread = (await _take(channel, 1))[0].thread
        async with asyncio.timeout(PATIENCE_SECONDS):
            first = await channel.send(Outgoing(key="k1", thread=thread, text="hello *yourself* <b> & ✓"))
            other = await channel.send(Outgoing(key="k2", thread=thread, text="and more"))
            again = await channel.send(Outgoing(key="k1", thread=thread, text="hello *yourself* <b> & ✓"))
        assert first
        assert again
        assert other not in (first, "")


async def _take(channel: Channel, count: int) -> list[Incoming]:
    received: list[Incoming] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for message in channel.receive():
            received.append(message)
            if len(received) == count:
                break
    return received
