"""Ollama over HTTP: asks what a model is, sends the request, streams the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import msgspec

from autohands.extensions.provider_local.account import LocalAccount
from autohands.extensions.provider_local.discovery import authorization
from autohands.extensions.provider_local.facts import Facts, read_show
from autohands.extensions.provider_local.wire import OllamaEncoder, Sent, decode
from autohands.extensions.provider_openai.listening import Listening
from autohands.protocols.errors import ProviderError
from autohands.protocols.extension import HttpFactory
from autohands.protocols.messages import Image, ToolReturn
from autohands.protocols.provider import Delta, LoadBlob, Request
from autohands.sdk.account import check_key, key_name
from autohands.sdk.exchange import Call, Decode, exchange
from autohands.sdk.faults import Service
from autohands.sdk.fragments import Writer
from autohands.sdk.http import Endpoint, Parser, get_json
from autohands.sdk.ndjson import LineParser
from autohands.sdk.reply import ReplyAssembler
from autohands.sdk.sse import EventParser


class Ollama:
    """The models of one Ollama; `facts` takes what is learnt of each."""

    def __init__(
        self, account: LocalAccount, http: HttpFactory, load_blob: LoadBlob, name: str, facts: dict[str, Facts]
    ) -> None:
        self._name = name
        self._account = account
        self._http = http
        self._service = Service(name, key_name(name), account.base_url or "")
        self._headers = {"Content-Type": "application/json", **authorization(account)}
        self._facts = facts
        self._writer = Writer(OllamaEncoder(self.facts), load_blob)

    def facts(self, model: str) -> Facts:
        """What is known of a model. No I/O."""
        return self._facts.get(model) or read_show(None, self._account.context_tokens)

    async def learn(self, model: str, *, strict: bool = True) -> Facts:
        """Ask the server about a model, once: its window must not change, or the server loads it anew.

        Raises:
            RetryableError: The server is not there. ProviderError: It has no such model, unless not `strict`.
        """
        if model not in self._facts:
            found = None
            try:
                found = await get_json(self._http, self._endpoint("/api/show"), msgspec.json.encode({"model": model}))
            except ProviderError as error:
                if strict and (error.kind != "invalid" or "not found" in error.text):
                    raise
            self._facts[model] = read_show(found, self._account.context_tokens)
        return self._facts[model]

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request. Raises what `exchange` raises."""
        return exchange(self._http, partial(self._call, request))

    async def _call(self, request: Request) -> Call:
        check_key(self._name, self._account)
        facts = await self.learn(request.model)
        if request.tools and facts.tools is False:
            raise ProviderError(
                f"{self._name}: {request.model} cannot call tools",
                kind="invalid",
                hint="take a model whose `ollama show` names tools among its capabilities",
            )
        tag = f"{self._name}:{request.model}"
        body = await self._writer.write(request, tag)
        sent = Sent(max(len(body) - _image_bytes(request), 0), facts.window)
        reply, read = self._reader(request, partial(decode, sent=sent), tag, len(body))
        return Call(self._endpoint("/api/chat", LineParser), body, read, reply)

    def _reader(self, request: Request, read: Decode, tag: str, size: int) -> tuple[ReplyAssembler, Decode]:
        if not (request.tools and self._account.printed_calls):
            return ReplyAssembler(vendor=tag, prompt_bytes=size), read
        tools = {tool.name: tool.parameters for tool in request.tools}
        reply = Listening(tools, vendor=tag, prompt_bytes=size)
        return reply, reply.hearing(read)

    def _endpoint(self, path: str, parser: type[Parser] = EventParser) -> Endpoint:
        url = f"{self._service.base_url}{path}"
        return Endpoint(self._service, url, self._headers, self._account.deadlines, parser)


def _image_bytes(request: Request) -> int:
    """About how much of the body are pictures, which the server counts by other rules than text."""
    sizes = 0
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Image):
                sizes += part.blob.size
            elif isinstance(part, ToolReturn):
                sizes += sum(ref.size for ref in part.images)
    return sizes * 4 // 3
