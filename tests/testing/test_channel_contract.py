"""The channel contract, against the channel in memory and what it does when told to."""

import asyncio
from collections.abc import Callable

import pytest

from autohands.protocols.channel import Incoming, Outgoing
from autohands.protocols.errors import Conflict, NotFound, RetryableError
from autohands.testing.channel import MemoryChannel
from autohands.testing.contracts.channel import ChannelContract, Say

MESSAGE = Outgoing(key="k", thread="t", text="x")


class TestMemoryChannel(ChannelContract):
    @pytest.fixture(params=[{}, {"searchable": True}, {"idempotent": False}, {"idempotent": False, "searchable": True}])
    def channel(self, request: pytest.FixtureRequest) -> MemoryChannel:
        return MemoryChannel(**request.param)

    @pytest.fixture
    def say(self, channel: MemoryChannel) -> Say:
        return channel.say

    @pytest.fixture
    def delivered(self, channel: MemoryChannel) -> Callable[[], int]:
        return lambda: len(channel.sent)


class Forgetful(MemoryChannel):
    """It promises to know keys, and does not."""

    async def send(self, message: Outgoing) -> str:
        self._ids.clear()
        return await super().send(message)


class Blind(MemoryChannel):
    """It denies what it has delivered."""

    async def find(self, key: str) -> str | None:
        raise NotFound("no such message")


async def test_a_channel_that_breaks_its_promises_is_seen() -> None:
    contract, forgetful, blind = ChannelContract(), Forgetful(), Blind()
    with pytest.raises(AssertionError):
        await contract.test_a_channel_that_says_it_drops_repeated_keys_does(
            forgetful, forgetful.say, lambda: len(forgetful.sent)
        )
    with pytest.raises(AssertionError, match="give a fixture"):
        await contract.test_a_channel_that_says_it_drops_repeated_keys_does(forgetful, forgetful.say, None)
    with pytest.raises(NotFound):
        await contract.test_a_look_finds_what_was_sent_or_says_that_it_cannot(blind, blind.say)


async def test_it_ends_when_it_is_closed_and_may_deliver_twice() -> None:
    channel = MemoryChannel()
    channel.deliver(channel.say("once"))
    channel.close()
    async with asyncio.timeout(5):
        received: list[Incoming] = [message async for message in channel.receive()]
    assert [message.id for message in received] == ["in-1", "in-1"]


async def test_each_key_goes_out_once_unless_it_forgets_them() -> None:
    channel, forgetful = MemoryChannel(), MemoryChannel(idempotent=False)
    assert await channel.send(MESSAGE) == await channel.send(MESSAGE) == "out-1"
    assert channel.sent == [MESSAGE]
    assert [await forgetful.send(MESSAGE) for _ in range(2)] == ["out-1", "out-2"]
    assert forgetful.sent == [MESSAGE, MESSAGE]


async def test_it_misbehaves_on_demand() -> None:
    channel = MemoryChannel(searchable=True)
    channel.misbehave("refuses", "loses", "breaks", "hangs")
    with pytest.raises(RetryableError):
        await channel.send(MESSAGE)
    with pytest.raises(Conflict):
        await channel.send(MESSAGE)
    with pytest.raises(NotFound):
        await channel.find("k")
    with pytest.raises(Conflict):
        await channel.send(MESSAGE)
    assert await channel.find("k") == "out-1"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await channel.send(MESSAGE)
    assert channel.hanging.is_set()
    assert await channel.send(MESSAGE) == "out-1"
    assert channel.sent == [MESSAGE]


async def test_one_that_cannot_look_says_so() -> None:
    assert await MemoryChannel().find("k") is None
