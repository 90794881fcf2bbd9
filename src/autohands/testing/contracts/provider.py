"""What every model provider must do, whatever it speaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import cast

import pytest

from autohands.protocols.messages import Message, Reply, ToolReturn, user
from autohands.protocols.provider import Delta, LLMProvider, Replied, Request, TextPiece, ThinkingPiece, ToolSchema
from autohands.testing.script import ScriptedCall, Turn, say

BOUND_SECONDS = 20.0
TOOLS = tuple(
    ToolSchema(name, f"The tool {name}.", {"type": "object", "properties": {"path": {"type": "string"}}})
    for name in ("read_file", "glob")
)
ANSWER = "Grüße, this is the whole answer: 你好 🙂, and that is all."
READS = Turn(
    text="I look at both.",
    calls=(ScriptedCall("read_file", {"path": "ä.txt"}), ScriptedCall("glob", {"path": "."})),
)


@pytest.mark.asyncio
class LLMProviderContract:
    """Subclass it in a test module, and say in `speaking` how to make a provider that gives these replies in order."""

    model = "fake-model"

    def speaking(self, *turns: Turn) -> AbstractAsyncContextManager[LLMProvider]:
        """A provider whose n-th answer in a conversation is `turns[n]`."""
        raise AssertionError("the test class does not say how to make its provider")

    def request(self, *messages: Message) -> Request:
        """A request as the agent loop makes it."""
        return Request(
            model=self.model,
            system="You are a test.",
            messages=messages or (user("Begin."),),
            tools=TOOLS,
            max_output_tokens=2_000,
            cache_key="session-1",
        )

    async def ask(self, provider: LLMProvider, *messages: Message) -> Reply:
        """The reply to a conversation."""
        return (await _collect(provider, self.request(*messages)))[1]

    async def test_a_stream_ends_in_exactly_one_reply(self) -> None:
        """`Replied` comes once, and last."""
        async with self.speaking(say(ANSWER)) as provider, asyncio.timeout(BOUND_SECONDS):
            deltas = [delta async for delta in provider.stream(self.request())]
        assert [isinstance(delta, Replied) for delta in deltas].count(True) == 1
        assert isinstance(deltas[-1], Replied)

    async def test_the_pieces_are_the_reply(self) -> None:
        """What was streamed, joined, is what was replied."""
        async with self.speaking(say(ANSWER)) as provider:
            deltas, reply = await _collect(provider, self.request())
        assert "".join(delta.text for delta in deltas if isinstance(delta, TextPiece)) == reply.message.text == ANSWER
        assert reply.stop == "end"
        assert reply.message.role == "assistant"

    async def test_calls_come_whole_and_in_order(self) -> None:
        """Parallel calls, with their arguments as objects and ids that differ."""
        async with self.speaking(READS) as provider:
            reply = await self.ask(provider)
        assert [(call.name, call.arguments, call.invalid) for call in reply.tool_calls] == [
            ("read_file", {"path": "ä.txt"}, None),
            ("glob", {"path": "."}, None),
        ]
        assert len({call.id for call in reply.tool_calls}) == len(reply.tool_calls)
        assert reply.stop == "tool_calls"

    async def test_a_conversation_goes_on_over_tool_results(self) -> None:
        """What a provider said can be sent back to it, with results, one of them a failure."""
        async with self.speaking(READS, say(ANSWER)) as provider:
            first = await self.ask(provider, user("Begin."))
            assert (await self.ask(provider, *_answered(first))).message.text == ANSWER

    async def test_arguments_that_are_no_object_never_become_one(self) -> None:
        """The call is kept, empty and marked, and the conversation can go on with it (PR08)."""
        broken = Turn(calls=(ScriptedCall("read_file", '{"path": "no'),))
        async with self.speaking(broken, say(ANSWER)) as provider:
            first = await self.ask(provider, user("Begin."))
            (call,) = first.tool_calls
            assert call.arguments == {}
            assert call.invalid
            assert (await self.ask(provider, *_answered(first))).message.text == ANSWER

    async def test_usage_is_counted(self) -> None:
        """Every reply costs something; an estimate says that it is one."""
        async with self.speaking(say(ANSWER)) as provider:
            usage = (await self.ask(provider)).usage
        assert usage.input > 0
        assert usage.output > 0
        assert usage.cache_read + usage.cache_write <= usage.input

    async def test_streams_side_by_side_do_not_mix(self) -> None:
        """One provider serves many conversations at once."""
        async with self.speaking(say(ANSWER)) as provider, asyncio.timeout(BOUND_SECONDS):
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self.ask(provider)) for _ in range(self.side_by_side)]
        assert {task.result().message.text for task in asked} == {ANSWER}

    side_by_side = 5

    async def test_a_stream_can_be_closed_half_way(self) -> None:
        """Closing it frees what it holds, and the provider can be asked again."""
        async with self.speaking(say(ANSWER)) as provider, asyncio.timeout(BOUND_SECONDS):
            async with aclosing(cast("AsyncGenerator[Delta, None]", provider.stream(self.request()))) as deltas:
                await anext(deltas)
            assert (await self.ask(provider)).message.text == ANSWER

    async def test_an_unknown_model_is_described_conservatively(self) -> None:
        """Limits that every model keeps, without I/O."""
        async with self.speaking(say(ANSWER)) as provider:
            info = provider.describe("a-model-nobody-knows")
        assert info.name == "a-model-nobody-knows"
        assert info.context_tokens > info.output_tokens > 0

    async def test_it_says_who_it_is(self) -> None:
        """A name that can stand before a slash, and whether it can be asked."""
        async with self.speaking(say(ANSWER)) as provider:
            assert provider.name
            assert "/" not in provider.name
            assert provider.available
            assert all(info.name for info in await provider.models())


def _answered(reply: Reply) -> tuple[Message, ...]:
    results = [ToolReturn(call.id, f"result {n}", failed=n > 0) for n, call in enumerate(reply.tool_calls)]
    return user("Begin."), reply.message, Message("tool", tuple(results))


async def _collect(provider: LLMProvider, request: Request) -> tuple[list[Delta], Reply]:
    async with asyncio.timeout(BOUND_SECONDS):
        deltas = [delta async for delta in _checked(provider.stream(request))]
    last = deltas.pop()
    assert isinstance(last, Replied)
    return deltas, last.reply


async def _checked(deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    """Pieces hold something: an empty one is no news."""
    async for delta in deltas:
        assert not isinstance(delta, TextPiece | ThinkingPiece) or delta.text
        yield delta
