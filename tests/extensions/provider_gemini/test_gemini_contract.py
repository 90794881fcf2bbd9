"""Gemini's provider keeps the contract of `LLMProvider`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from autohands.protocols.provider import LLMProvider
from autohands.testing.contracts.provider import LLMProviderContract
from autohands.testing.script import Turn
from extensions.provider_gemini.gemini_service import gemini


class TestGemini(LLMProviderContract):
    model = "gemini-3.8-flash"

    @pytest.fixture(autouse=True, params=["gemini-3.8-flash", "fake"])
    def each_model(self, request: pytest.FixtureRequest) -> None:
        self.model = request.param

    @asynccontextmanager
    async def speaking(self, *turns: Turn) -> AsyncIterator[LLMProvider]:
        async with gemini(*turns) as (provider, vendors):
            yield provider
        assert vendors.problems == []
