"""Every provider keeps the contract of `LLMProvider`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from autohands.extensions.provider_replay.provider import ReplayProvider
from autohands.extensions.provider_replay.recording import Line, append
from autohands.protocols.messages import Reply
from autohands.protocols.provider import LLMProvider, Request
from autohands.runtime.retry import Retry
from autohands.testing.contracts.provider import LLMProviderContract
from autohands.testing.script import Turn, to_reply
from autohands.testing.scripted import Scripted
from extensions.model_services import service


class OverTheWire(LLMProviderContract):
    api = ""

    @asynccontextmanager
    async def speaking(self, *turns: Turn) -> AsyncIterator[LLMProvider]:
        async with service(self.api, *turns) as (provider, vendors):
            yield provider
        assert vendors.problems == []


class TestOpenAIChat(OverTheWire):
    api = "chat"


class TestOpenAIResponses(OverTheWire):
    api = "responses"
    model = "gpt-5.4"


class TestAnthropic(OverTheWire):
    api = "messages"
    model = "claude-sonnet-5-5"


class TestRetry(OverTheWire):
    api = "chat"

    @asynccontextmanager
    async def speaking(self, *turns: Turn) -> AsyncIterator[LLMProvider]:
        failing = [msgspec.structs.replace(turn, faults=("429-zero",)) for turn in turns]
        async with service(self.api, *failing) as (provider, _):
            yield Retry(provider, draw=lambda: 0.0)


class TestScripted(LLMProviderContract):
    @asynccontextmanager
    async def speaking(self, *turns: Turn) -> AsyncIterator[LLMProvider]:
        def said(request: Request) -> Reply:
            number = sum(1 for message in request.messages if message.role == "assistant")
            return to_reply(turns[number], number)

        yield Scripted(*[said] * 20)


class TestReplay(LLMProviderContract):
    @pytest.fixture(autouse=True)
    def file(self, tmp_path: Path) -> None:
        self.model = str(tmp_path / "recording.jsonl")

    @asynccontextmanager
    async def speaking(self, *turns: Turn) -> AsyncIterator[LLMProvider]:
        append(Path(self.model), *(Line(number, None, to_reply(turn, number)) for number, turn in enumerate(turns)))
        yield ReplayProvider()
