"""Models on a server of one's own: finds out what it speaks and how much it reads, then streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, cast

from msgspec import structs

from autohands.extensions.provider_local.account import LocalAccount, find_root
from autohands.extensions.provider_local.discovery import Discovery
from autohands.extensions.provider_local.facts import Facts, to_info
from autohands.extensions.provider_openai.account import COMPATIBLE, OpenAIAccount
from autohands.protocols.extension import HttpFactory
from autohands.protocols.provider import Delta, LoadBlob, ModelInfo, Request

if TYPE_CHECKING:
    from autohands.extensions.provider_local.ollama import Ollama
    from autohands.extensions.provider_openai.provider import OpenAIProvider


class LocalProvider:
    """One server: Ollama, or one that speaks like OpenAI. Implements `LLMProvider`."""

    def __init__(self, account: LocalAccount, http: HttpFactory, load_blob: LoadBlob, *, name: str = "local") -> None:
        self.name = name
        self._account = structs.replace(account, base_url=find_root(account))
        self._http = http
        self._load_blob = load_blob
        self._discovery = Discovery(self._account, http, name)
        self._facts: dict[str, Facts] = {}

    @property
    def available(self) -> bool:
        """Whether the server answers and has a model. A quick question, not asked again for a while."""
        return self._discovery.present is not None and self.default_model is not None

    @property
    def default_model(self) -> str | None:
        """The configured model, else the first that the server lists, if it answers."""
        if self._account.model is not None:
            return self._account.model
        server = self._discovery.present
        return server.first_model if server is not None else None

    def describe(self, model: str) -> ModelInfo:
        """What the server told of a model, conservative limits before that; it costs nothing."""
        known = self._facts.get(model)
        window = known.window if known is not None else self._discovery.window(model)
        return to_info(model, window or self._account.context_tokens)

    async def models(self) -> list[ModelInfo]:
        """The models that the server has.

        Raises:
            RetryableError, ProviderError: It cannot be asked.
        """
        server = await self._discovery.look()
        if server.speaks == "ollama":
            for model in server.models:
                await self._ollama.learn(model, strict=False)
        return [self.describe(model) for model in server.models]

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request, ending in exactly one `Replied`.

        Raises:
            RetryableError: A passing fault; also a server that is not there.
            ProviderError: A final one; `overflow` also where the server read only a part of the prompt.
        """
        server = await self._discovery.server()
        speaker = self._ollama if server.speaks == "ollama" else self._compatible
        async with aclosing(cast("AsyncGenerator[Delta, None]", speaker.stream(request))) as deltas:
            async for delta in deltas:
                yield delta

    @cached_property
    def _ollama(self) -> Ollama:
        from autohands.extensions.provider_local.ollama import Ollama

        return Ollama(self._account, self._http, self._load_blob, self.name, self._facts)

    @cached_property
    def _compatible(self) -> OpenAIProvider:
        from autohands.extensions.provider_openai.provider import OpenAIProvider

        account = OpenAIAccount(
            api_key=self._account.api_key,
            base_url=f"{self._account.base_url}/v1",
            api="chat",
            first_byte_seconds=self._account.first_byte_seconds,
            idle_seconds=self._account.idle_seconds,
            total_seconds=self._account.total_seconds,
        )
        quirks = structs.replace(COMPATIBLE, printed_calls=self._account.printed_calls)
        return OpenAIProvider(account, self._http, self._load_blob, name=self.name, quirks=quirks)
