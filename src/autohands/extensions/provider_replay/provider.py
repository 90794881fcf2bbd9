"""The providers that play and that record."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

from autohands.extensions.provider_replay import recording
from autohands.extensions.provider_replay.fingerprint import fingerprint
from autohands.extensions.provider_replay.recording import Head, Line, Recording
from autohands.protocols.messages import Message, Reply, Text, Thinking
from autohands.protocols.provider import (
    Delta,
    LLMProvider,
    ModelInfo,
    Replied,
    Request,
    TextPiece,
    ThinkingPiece,
)
from autohands.sdk.wrapping import Wrapping


class ReplayProvider:
    """Says what a recording says, as long as it is asked what the recording was asked. Implements `LLMProvider`.

    A model's name is the recording: one that comes with the program (`demo`), or a path.
    """

    name = "replay"
    available = True
    default_model: str | None = None

    def __init__(self, pace_seconds: float | None = None) -> None:
        self._pace_seconds = pace_seconds
        self._read: dict[Path, tuple[float, Recording]] = {}

    def describe(self, model: str) -> ModelInfo:
        """A roomy model that costs nothing."""
        return ModelInfo(
            name=model,
            context_tokens=200_000,
            output_tokens=32_000,
            input_price=0,
            output_price=0,
            cache_read_price=0,
            cache_write_price=0,
        )

    async def models(self) -> list[ModelInfo]:
        """The recordings that come with the program."""
        return [self.describe(name) for name in recording.shipped_names()]

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The recorded reply, word by word.

        Raises:
            ProviderError: No such recording, or the request is not the recorded one.
        """
        found = await asyncio.to_thread(self._open, recording.find(request.model))
        reply = found.reply(fingerprint(request))
        pace = found.head.pace_seconds if self._pace_seconds is None else self._pace_seconds
        for piece in _pieces(reply):
            yield piece
            await asyncio.sleep(pace)
        yield Replied(reply)

    def recording(self, provider: LLMProvider, file: str) -> LLMProvider:
        """`provider`, with each request and reply added to `file`."""
        return RecordingProvider(provider, Path(file).expanduser())

    def _open(self, file: Path) -> Recording:
        changed = file.stat().st_mtime if file.exists() else 0.0
        known = self._read.get(file)
        if known is None or known[0] != changed:
            known = self._read[file] = changed, recording.read(file)
        return known[1]


class RecordingProvider(Wrapping):
    """Passes on what a provider says and writes it down. Implements `LLMProvider`."""

    def __init__(self, provider: LLMProvider, file: Path) -> None:
        super().__init__(provider)
        self._file = file

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The provider's answer; its line is written before the reply is passed on.

        Raises:
            ProviderError: The file cannot be written; nothing is asked then.
        """
        asked = fingerprint(request)
        await asyncio.to_thread(self._begin, request)
        async for delta in self._provider.stream(request):
            if isinstance(delta, Replied):
                await asyncio.to_thread(recording.append, self._file, Line(asked.turn, asked.said, delta.reply))
            yield delta

    def _begin(self, request: Request) -> None:
        if not self._file.exists() or not self._file.stat().st_size:
            prompt = next((_spoken(message) for message in request.messages if message.role == "user"), "")
            recording.append(self._file, Head(prompt=prompt, model=f"{self._provider.name}/{request.model}"))
        else:
            recording.append(self._file)


def _spoken(message: Message) -> str:
    return next((part.text for part in message.parts if isinstance(part, Text)), "")


def _pieces(reply: Reply) -> list[Delta]:
    pieces: list[Delta] = []
    for part in reply.message.parts:
        if isinstance(part, Text | Thinking):
            kind = TextPiece if isinstance(part, Text) else ThinkingPiece
            pieces.extend(kind(word) for word in re.findall(r"\S+\s*|\s+", part.text))
    return pieces
