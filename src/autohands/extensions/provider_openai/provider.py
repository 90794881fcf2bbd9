"""OpenAI's models over HTTP: picks the protocol, sends the request, streams the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cached_property, partial
from typing import TYPE_CHECKING

from msgspec import Struct

from autohands.extensions.provider_openai.account import OpenAIAccount, Quirks, find_base_url, find_quirks
from autohands.extensions.provider_openai.models import DEFAULT_MODEL, describe, reasons
from autohands.protocols.extension import HttpFactory
from autohands.protocols.provider import Delta, LoadBlob, ModelInfo, Request
from autohands.sdk.account import check_key, key_name, nearest_model
from autohands.sdk.exchange import Call, Decode, exchange
from autohands.sdk.faults import Service
from autohands.sdk.fragments import Writer
from autohands.sdk.http import Endpoint, get_ids
from autohands.sdk.reply import ReplyAssembler

if TYPE_CHECKING:
    from autohands.extensions.provider_openai.chained import ChainedResponses


class Wire(Struct, frozen=True):
    """A protocol, imported when it is first spoken: its path below the base URL, what writes and what reads it."""

    path: str
    writer: Writer
    decode: Decode


class OpenAIProvider:
    """One account at OpenAI or at a service that speaks like it. Implements `LLMProvider`."""

    def __init__(
        self,
        account: OpenAIAccount,
        http: HttpFactory,
        load_blob: LoadBlob,
        *,
        name: str = "openai",
        quirks: Quirks | None = None,
    ) -> None:
        self.name = name
        self._account = account
        self._http = http
        self._quirks = quirks or find_quirks(account, name)
        self._base_url = find_base_url(account, self._quirks)
        self._service = Service(name, key_name(name), self._base_url)
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream", **self._authorization()}
        self._load_blob = load_blob

    @property
    def available(self) -> bool:
        """Whether a key or an endpoint is configured."""
        return self._account.usable

    @property
    def default_model(self) -> str | None:
        """The configured model; OpenAI's own has a default, and so may a preset."""
        return self._account.model or self._quirks.default_model or (DEFAULT_MODEL if self.name == "openai" else None)

    def describe(self, model: str) -> ModelInfo:
        """What is known of a model; conservative limits and no prices for an unknown one."""
        table = self._quirks.models
        return describe(model) if table is None else nearest_model(dict(table), model) or ModelInfo(name=model)

    async def models(self) -> list[ModelInfo]:
        """The models that the account may use.

        Raises:
            RetryableError, ProviderError: The service cannot be asked.
        """
        names = await get_ids(self._http, self._endpoint("models"))
        return [self.describe(name) for name in names]

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request, ending in exactly one `Replied`.

        Raises:
            RetryableError: A passing fault.
            ProviderError: A final one.
        """
        if self._quirks.chains and request.cache_key is not None and self._speaks_responses(request.model):
            return self._chained.stream(request, self._tag(request))
        return exchange(self._http, partial(self._call, request))

    async def _call(self, request: Request) -> Call:
        check_key(self.name, self._account)
        tag = self._tag(request)
        wire = self._responses if self._speaks_responses(request.model) else self._chat
        body = await wire.writer.write(request, tag)
        if self._quirks.printed_calls and request.tools and wire is self._chat:
            from autohands.extensions.provider_openai.listening import Listening

            heard = Listening(
                {tool.name: tool.parameters for tool in request.tools}, vendor=tag, prompt_bytes=len(body)
            )
            return Call(self._endpoint(wire.path), body, heard.hearing(wire.decode), heard)
        return Call(self._endpoint(wire.path), body, wire.decode, ReplyAssembler(vendor=tag, prompt_bytes=len(body)))

    def _tag(self, request: Request) -> str:
        return f"{self.name}:{request.model}"

    def _endpoint(self, path: str) -> Endpoint:
        check_key(self.name, self._account)
        return Endpoint(self._service, f"{self._base_url}/{path}", self._headers, self._account.deadlines)

    @cached_property
    def _chat(self) -> Wire:
        from autohands.extensions.provider_openai.wire_chat import ChatEncoder, decode

        return Wire("chat/completions", Writer(ChatEncoder(self._quirks), self._load_blob), decode)

    @cached_property
    def _responses(self) -> Wire:
        from autohands.extensions.provider_openai.wire_responses import ResponsesEncoder, decode

        return Wire("responses", Writer(ResponsesEncoder(self._quirks), self._load_blob), decode)

    @cached_property
    def _chained(self) -> ChainedResponses:
        from autohands.extensions.provider_openai.chained import ChainedResponses
        from autohands.extensions.provider_openai.wire_responses import ResponsesEncoder

        encoder = ResponsesEncoder(self._quirks)
        return ChainedResponses(encoder, self._load_blob, self._http, partial(self._endpoint, "responses"))

    def _speaks_responses(self, model: str) -> bool:
        if self._account.api == "auto":
            return self._quirks.responses and reasons(model)
        return self._account.api == "responses"

    def _authorization(self) -> dict[str, str]:
        key = self._account.api_key
        if key is None:
            return {}
        header = self._quirks.key_header
        return {header: f"Bearer {key}" if header == "Authorization" else key}
