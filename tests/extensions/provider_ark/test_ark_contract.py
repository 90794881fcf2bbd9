"""Ark keeps the contract of `LLMProvider` by both protocols, with and without answers that it keeps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from autohands.protocols.provider import LLMProvider
from autohands.testing.contracts.provider import LLMProviderContract
from autohands.testing.script import Turn
from extensions.provider_ark.ark_services import ark


class Ark(LLMProviderContract):
    model = "doubao-seed-2-1-pro-260628"
    api = "chat"
    cache = "prefix"

    @asynccontextmanager
    async def speaking(self, *turns: Turn) -> AsyncIterator[LLMProvider]:
        async with ark(*turns, api=self.api, cache=self.cache) as (provider, vendors):
            yield provider
        assert vendors.problems == []


class TestArkChat(Ark):
    pass


class TestArkResponses(Ark):
    api = "responses"


class TestArkSessions(Ark):
    api = "responses"
    cache = "session"
