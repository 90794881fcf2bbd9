"""A provider around a provider: everything is passed on, but what the wrapper makes its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

from autohands.protocols.provider import Delta, LLMProvider, ModelInfo, Request


class Wrapping:
    """Implements `LLMProvider` by the one it wraps; a wrapper overrides `stream`."""

    def __init__(self, provider: LLMProvider) -> None:
        self._provider = provider

    @property
    def name(self) -> str:
        """The wrapped provider's."""
        return self._provider.name

    @property
    def default_model(self) -> str | None:
        """The wrapped provider's."""
        return self._provider.default_model

    @property
    def available(self) -> bool:
        """The wrapped provider's."""
        return self._provider.available

    def describe(self, model: str) -> ModelInfo:
        """The wrapped provider's."""
        return self._provider.describe(model)

    async def models(self) -> list[ModelInfo]:
        """The wrapped provider's."""
        return await self._provider.models()

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The wrapped provider's."""
        return self._provider.stream(request)
