"""A provider that says what a script says: for tests of agents, tools and extensions, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Reply, Text, Thinking
from autohands.protocols.provider import Delta, ModelInfo, Replied, Request, TextPiece, ThinkingPiece
from autohands.testing.script import Turn, say, to_reply, words

Said: TypeAlias = str | Turn | Reply | Exception
Scriptable: TypeAlias = Said | Callable[[Request], Said]


class Scripted:
    """Gives its replies in order: a text, a `Turn`, a `Reply`, an exception to raise, or a function of the request.

    `requests` keeps what was asked. Implements `LLMProvider`.
    """

    def __init__(self, *replies: Scriptable, name: str = "scripted", model: ModelInfo | None = None) -> None:
        self.name = name
        self.available = True
        self.default_model: str | None = "scripted"
        self.requests: list[Request] = []
        self._replies = replies
        self._model = model

    def describe(self, model: str) -> ModelInfo:
        """A roomy model that costs nothing, or the one it was made with."""
        return self._model or ModelInfo(
            name=model, context_tokens=200_000, output_tokens=32_000, input_price=0, output_price=0
        )

    async def models(self) -> list[ModelInfo]:
        """Its one model."""
        return [self.describe("scripted")]

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The next reply, in pieces of a word.

        Raises:
            ProviderError: The script is over.
            Exception: What the script says.
        """
        number = len(self.requests)
        self.requests.append(request)
        if number >= len(self._replies):
            raise ProviderError(f"the script is over after {number} replies", kind="broken")
        said = self._replies[number]
        if callable(said):
            said = said(request)
        if isinstance(said, Exception):
            raise said
        turn = say(said) if isinstance(said, str) else said
        reply, pause = (to_reply(turn, number), turn.pause_seconds) if isinstance(turn, Turn) else (turn, 0.0)
        for piece in _pieces(reply):
            await asyncio.sleep(pause)
            yield piece
        yield Replied(reply)


def _pieces(reply: Reply) -> list[Delta]:
    pieces: list[Delta] = []
    for part in reply.message.parts:
        if isinstance(part, Text):
            pieces.extend(TextPiece(word) for word in words(part.text))
        elif isinstance(part, Thinking):
            pieces.extend(ThinkingPiece(word) for word in words(part.text))
    return pieces
