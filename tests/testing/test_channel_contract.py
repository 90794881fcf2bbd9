"""The channel contract, against the channel in memory."""

import asyncio

import pytest

from autohands.protocols.channel import Incoming, Outgoing
from autohands.testing.channel import MemoryChannel
from autohands.testing.contracts.channel import ChannelContract, Say


class TestMemoryChannel(ChannelContract):
    @pytest.fixture
    def channel(self) -> MemoryChannel:
        return MemoryChannel()

    @pytest.fixture
    def say(self, channel: MemoryChannel) -> Say:
        return channel.say


async def test_it_ends_when_it_is_closed_and_may_deliver_twice() -> None:
    channel = MemoryChannel()
    channel.deliver(channel.say("once"))
    channel.close()
    async with asyncio.timeout(5):
        received: list[Incoming] = [message async for message in channel.receive()]
    assert [message.id for message in received] == ["in-1", "in-1"]


async def test_each_key_goes_out_once() -> None:
    channel = MemoryChannel()
    message = Outgoing(key="k", thread="t", text="x")
    assert await channel.send(message) == await channel.send(message) == "out-1"
    assert channel.sent == [message]
