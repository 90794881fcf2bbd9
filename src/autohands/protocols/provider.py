"""The seam to a language model: one request in, a stream of deltas out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from autohands.protocols.messages import BlobRef, Message, Reply

LoadBlob: TypeAlias = Callable[[BlobRef], Awaitable[bytes]]


class ToolSchema(Struct, frozen=True):
    """A tool as a model sees it; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


class Request(Struct, frozen=True, kw_only=True):
    """One model call.

    `model` is the vendor's own name for it. `messages` is append-only within a session and `system` and `tools` are
    byte-stable, so that vendors' prompt caches hit. `cache_key` names the session for vendors that route by it.
    """

    model: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...] = ()
    max_output_tokens: int | None = None
    thinking: Literal["off", "low", "medium", "high"] | None = None
    cache_key: str | None = None


class TextPiece(Struct, frozen=True):
    """More text of the answer."""

    text: str


class ThinkingPiece(Struct, frozen=True):
    """More of the reasoning, as far as the vendor shows it."""

    text: str


class Retrying(Struct, frozen=True):
    """The attempt failed before any output; the next one starts after `delay_seconds`."""

    reason: str
    delay_seconds: float
    attempt: int


class Replied(Struct, frozen=True):
    """The end of every stream that did not raise: the whole reply."""

    reply: Reply


Delta: TypeAlias = TextPiece | ThinkingPiece | Retrying | Replied


class ModelInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a model. Prices are micro-USD per million tokens, as of `priced` (ISO date); None is unknown."""

    name: str
    context_tokens: int = 32_000
    output_tokens: int = 4_096
    input_price: int | None = None
    output_price: int | None = None
    cache_read_price: int | None = None
    cache_write_price: int | None = None
    priced: str | None = None


class LLMProvider(Protocol):
    """A service that runs models."""

    @property
    def name(self) -> str:
        """The part before the slash in `provider/model`."""
        ...

    @property
    def default_model(self) -> str | None:
        """The model that is meant where none is named."""
        ...

    @property
    def available(self) -> bool:
        """Whether it has what it needs to be asked: a key, an address, a file; a server nearby may get a quick look."""
        ...

    def describe(self, model: str) -> ModelInfo:
        """What is known of `model`; conservative limits for an unknown one. No I/O."""
        ...

    async def models(self) -> list[ModelInfo]:
        """The models on offer.

        Raises:
            RetryableError, ProviderError: The service cannot be asked.
        """
        ...

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request, ending in exactly one `Replied`.

        Raises:
            RetryableError: A passing fault.
            ProviderError: A final one.
        """
        ...


@runtime_checkable
class Recorder(Protocol):
    """A provider that can write down what another one says, to play it again."""

    def recording(self, provider: LLMProvider, file: str) -> LLMProvider:
        """`provider`, with each request and reply appended to `file` as a JSON line."""
        ...
