"""Answers that the service keeps, so that the next request of a conversation sends only what is new."""

from __future__ import annotations

import time

from msgspec import Struct, structs

from autohands.protocols.messages import Message
from autohands.protocols.provider import Request, ToolSchema

KEPT_SECONDS = 3_600
SAFE_SECONDS = 300
MOST_CHAINS = 256


class Chain(Struct, frozen=True):
    """The last answer of a conversation: its id at the service, when that ends (Unix time), and all it knows."""

    response: str
    ends: float
    model: str
    system: str
    tools: tuple[ToolSchema, ...]
    messages: tuple[Message, ...]


class Chains:
    """The conversations of one provider, by their cache key; the oldest of more than `MOST_CHAINS` are forgotten."""

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}

    def continued(self, request: Request, now: float | None = None) -> tuple[str, Request] | None:
        """The id of the answer that `request` goes on from, and the request with only what came after it."""
        chain = self._chains.get(request.cache_key or "")
        if chain is None or chain.ends - SAFE_SECONDS < (time.time() if now is None else now):
            return None
        same = (chain.model, chain.system, chain.tools) == (request.model, request.system, request.tools)
        known = len(chain.messages)
        if not same or len(request.messages) <= known or request.messages[:known] != chain.messages:
            return None
        return chain.response, structs.replace(request, messages=request.messages[known:])

    def keep(self, request: Request, answer: Message, response: str, ends: float) -> None:
        """Remember that the service knows `request`, whole, and the answer to it."""
        if request.cache_key is None:
            return
        self._chains.pop(request.cache_key, None)
        if len(self._chains) >= MOST_CHAINS:
            del self._chains[next(iter(self._chains))]
        known = (*request.messages, answer)
        chain = Chain(response, ends, request.model, request.system, request.tools, known)
        self._chains[request.cache_key] = chain

    def forget(self, request: Request) -> None:
        """The service does not know the conversation any more."""
        self._chains.pop(request.cache_key or "", None)
