"""What every channel must do: subclass `ChannelContract` in a test module and give it `channel` and `say`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import pytest

from autohands.protocols.channel import Channel, Incoming, Outgoing
from autohands.protocols.errors import NotFound

Say: TypeAlias = Callable[[str], object]
PATIENCE_SECONDS = 10.0


class ChannelContract:
    """Fixtures: `channel`, and `say(text)`, which makes somebody say something in it.

    A channel that drops repeated keys proves it with a fixture `delivered`: a function that says how many messages
    have arrived.
    """

    @pytest.fixture
    def delivered(self) -> Callable[[], int] | None:
        """How many messages have arrived at the service; None where nobody can count them."""
        return None

    @pytest.mark.asyncio
    async def test_what_is_said_comes_in_order_each_with_an_id(self, channel: Channel, say: Say) -> None:
        for text in ("one", "two\nlines", "三 ✓"):
            say(text)
        received = await _take(channel, 3)
        assert [message.text for message in received] == ["one", "two\nlines", "三 ✓"]
        assert all(message.id for message in received)
        assert len({message.id for message in received}) == 3
        assert all(message.peer and message.thread for message in received)

    @pytest.mark.asyncio
    async def test_a_reader_that_goes_away_loses_nothing_for_the_next(self, channel: Channel, say: Say) -> None:
        say("first")
        assert [message.text for message in await _take(channel, 1)] == ["first"]
        say("second")
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for message in channel.receive():
                assert message.text in ("first", "second")  # the first may come again: nobody asked for the next
                if message.text == "second":
                    break

    @pytest.mark.asyncio
    async def test_an_answer_has_an_id_and_sending_its_key_again_does_no_harm(self, channel: Channel, say: Say) -> None:
        thread = await _thread(channel, say)
        async with asyncio.timeout(PATIENCE_SECONDS):
            first = await channel.send(Outgoing(key="k1", thread=thread, text="hello *yourself* <b> & ✓"))
            other = await channel.send(Outgoing(key="k2", thread=thread, text="and more"))
            again = await channel.send(Outgoing(key="k1", thread=thread, text="hello *yourself* <b> & ✓"))
        assert first
        assert again
        assert other not in (first, "")

    @pytest.mark.asyncio
    async def test_a_channel_that_says_it_drops_repeated_keys_does(
        self, channel: Channel, say: Say, delivered: Callable[[], int] | None
    ) -> None:
        assert isinstance(channel.idempotent, bool)
        if not channel.idempotent:
            return
        assert delivered is not None, "give a fixture `delivered`: an idempotent channel shows what has arrived"
        thread = await _thread(channel, say)
        before = delivered()
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(3):
                await channel.send(Outgoing(key="k1", thread=thread, text="once"))
            await channel.send(Outgoing(key="k2", thread=thread, text="once"))
        assert delivered() - before == 2

    @pytest.mark.asyncio
    async def test_a_look_finds_what_was_sent_or_says_that_it_cannot(self, channel: Channel, say: Say) -> None:
        thread = await _thread(channel, say)
        async with asyncio.timeout(PATIENCE_SECONDS):
            receipt = await channel.send(Outgoing(key="k1", thread=thread, text="hello"))
            assert await channel.find("k1") in (receipt, None)
            try:
                assert await channel.find("never-sent") is None
            except NotFound:
                assert await channel.find("k1") == receipt, "who says that something is not there can see what is"


async def _thread(channel: Channel, say: Say) -> str:
    say("hello")
    return (await _take(channel, 1))[-1].thread


async def _take(channel: Channel, count: int) -> list[Incoming]:
    received: list[Incoming] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for message in channel.receive():
            received.append(message)
            if len(received) == count:
                break
    return received
