"""The local provider keeps the contract of `LLMProvider`, whatever its server speaks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from autohands.protocols.provider import LLMProvider
from autohands.testing.contracts.provider import LLMProviderContract
from autohands.testing.script import Turn
from extensions.provider_local.local_services import local


class Local(LLMProviderContract):
    speaks = ""

    @asynccontextmanager
    async def speaking(self, *turns: Turn) -> AsyncIterator[LLMProvider]:
        async with local(*turns, speaks=self.speaks) as (provider, vendors):
            await provider.models()  # the server is on this loop, where a look from outside it would wait for ever
            yield provider
        assert [problem for problem in vendors.problems if "Unknown request URL" not in problem] == []


class TestOllama(Local):
    speaks = "ollama"


class TestCompatibleServer(Local):
    speaks = "openai"
