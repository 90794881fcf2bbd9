"""The Responses API over answers that the service keeps: each request goes on from the last one with what is new."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import cast

from autohands.extensions.provider_openai.chains import KEPT_SECONDS, Chains
from autohands.extensions.provider_openai.wire_responses import Link, ResponsesEncoder, decode
from autohands.protocols.errors import ProviderError
from autohands.protocols.extension import HttpFactory
from autohands.protocols.provider import Delta, LoadBlob, Replied, Request
from autohands.sdk.exchange import Call, exchange
from autohands.sdk.fragments import Fragments, Kept
from autohands.sdk.http import Endpoint
from autohands.sdk.reply import ReplyAssembler


class ChainedResponses:
    """Streams answers, and remembers under the cache key of each conversation how it goes on."""

    def __init__(
        self, encoder: ResponsesEncoder, load: LoadBlob, http: HttpFactory, endpoint: Callable[[], Endpoint]
    ) -> None:
        self._encoder = encoder
        self._messages = Fragments(encoder.message, load)
        self._tools = Kept(encoder.tool)
        self._http = http
        self._endpoint = endpoint
        self._chains = Chains()

    async def stream(self, request: Request, tag: str) -> AsyncIterator[Delta]:
        """The answer to `request`; where the service does not take what it kept, the whole is sent once more.

        Raises:
            RetryableError, ProviderError: As `exchange`.
        """
        continued = self._chains.continued(request)
        if continued is not None:
            told = False
            try:
                async with aclosing(self._linked(request, tag, *continued)) as deltas:
                    async for delta in deltas:
                        told = True
                        yield delta
                return
            except ProviderError as error:
                if told or error.kind != "invalid":
                    raise
                self._chains.forget(request)
        async with aclosing(self._linked(request, tag, None, request)) as deltas:
            async for delta in deltas:
                yield delta

    async def _linked(
        self, request: Request, tag: str, previous: str | None, new: Request
    ) -> AsyncGenerator[Delta, None]:
        link = Link(previous, int(time.time()) + KEPT_SECONDS)
        ids: list[str] = []
        streamed = cast("AsyncGenerator[Delta, None]", exchange(self._http, partial(self._call, new, tag, link, ids)))
        async with aclosing(streamed) as deltas:
            async for delta in deltas:
                if isinstance(delta, Replied) and ids and delta.reply.stop in ("end", "tool_calls"):
                    self._chains.keep(request, delta.reply.message, ids[0], link.ends)
                yield delta

    async def _call(self, new: Request, tag: str, link: Link, ids: list[str]) -> Call:
        messages = await self._messages.of(new.messages, tag)
        body = self._encoder.link(new, messages, [self._tools.of(tool) for tool in new.tools], link)
        reply = ReplyAssembler(vendor=tag, prompt_bytes=len(body))
        return Call(self._endpoint(), body, partial(decode, ids=ids), reply)
