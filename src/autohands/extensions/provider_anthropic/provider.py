"""Anthropic's models over HTTP: sends the request, streams the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cached_property, partial

from autohands.extensions.provider_anthropic.account import find_base_url
from autohands.extensions.provider_anthropic.models import DEFAULT_MODEL, describe, thinking_mode
from autohands.protocols.extension import HttpFactory
from autohands.protocols.provider import Delta, LoadBlob, ModelInfo, Request
from autohands.sdk.account import Account, check_key, key_name
from autohands.sdk.exchange import Call, exchange
from autohands.sdk.faults import Service
from autohands.sdk.fragments import Writer
from autohands.sdk.http import Endpoint, get_ids
from autohands.sdk.reply import ReplyAssembler

VERSION = "2023-06-01"
INTERLEAVED = "interleaved-thinking-2025-05-14"


class AnthropicProvider:
    """One account at Anthropic or at a service that speaks like it. Implements `LLMProvider`."""

    def __init__(self, account: Account, http: HttpFactory, load_blob: LoadBlob, *, name: str = "anthropic") -> None:
        self.name = name
        self._account = account
        self._http = http
        self._base_url = find_base_url(account)
        self._service = Service(name, key_name(name), self._base_url)
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "anthropic-version": VERSION,
            **({"x-api-key": account.api_key} if account.api_key else {}),
        }
        self._load_blob = load_blob

    @property
    def available(self) -> bool:
        """Whether a key or an endpoint is configured."""
        return self._account.usable

    @property
    def default_model(self) -> str | None:
        """The configured model; Anthropic's own has a default."""
        return self._account.model or (DEFAULT_MODEL if self.name == "anthropic" else None)

    def describe(self, model: str) -> ModelInfo:
        """What is known of a model; conservative limits and no prices for an unknown one."""
        return describe(model)

    async def models(self) -> list[ModelInfo]:
        """The models that the account may use.

        Raises:
            RetryableError, ProviderError: The service cannot be asked.
        """
        check_key(self.name, self._account)
        url = f"{self._base_url}/v1/models?limit=1000"
        names = await get_ids(self._http, Endpoint(self._service, url, self._headers, self._account.deadlines))
        return [describe(name) for name in names]

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request, ending in exactly one `Replied`.

        Raises:
            RetryableError: A passing fault.
            ProviderError: A final one.
        """
        return exchange(self._http, partial(self._call, request))

    async def _call(self, request: Request) -> Call:
        from autohands.extensions.provider_anthropic.wire import decode

        check_key(self.name, self._account)
        tag = f"{self.name}:{request.model}"
        body = await self._writer.write(request, tag)
        headers = self._headers
        if request.thinking is not None and thinking_mode(request.model) == "budget":
            headers = {**headers, "anthropic-beta": INTERLEAVED}
        endpoint = Endpoint(self._service, f"{self._base_url}/v1/messages", headers, self._account.deadlines)
        return Call(endpoint, body, decode, ReplyAssembler(vendor=tag, prompt_bytes=len(body)))

    @cached_property
    def _writer(self) -> Writer:
        from autohands.extensions.provider_anthropic.wire import MessagesEncoder

        return Writer(MessagesEncoder(), self._load_blob)
