"""What a request begins with, as hashed segments: compared with the last one's, so that a cache miss can be named."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec

from autohands.protocols.messages import Message, Usage
from autohands.protocols.provider import ModelInfo, Request, ToolSchema
from autohands.protocols.records import Step
from autohands.runtime.tokens import encode, pictures

Segment: TypeAlias = Literal["model", "system", "tools", "history", "cache"]

DIGEST_BYTES = 7
SMALLEST_CACHED = 4_096
"""Tokens; vendors cache no shorter prompt, and each of them rounds."""
KEPT_SECONDS = 300
"""How long vendors keep what nobody asks for."""
_ENCODER = msgspec.json.Encoder(order="sorted")


class Sent(msgspec.Struct, frozen=True):
    """What the model was asked with: digests of the segments, how many messages, and the tokens it was counted as.

    `at` is UTC ms.
    """

    model: bytes
    system: bytes
    tools: bytes
    messages: bytes
    count: int
    tokens: int = 0
    at: int = 0

    @property
    def packed(self) -> bytes:
        """As a step keeps it: 32 bytes."""
        return self.count.to_bytes(4, "big") + self.model + self.system + self.tools + self.messages

    @classmethod
    def read(cls, step: Step) -> Sent | None:
        """What a recorded model call was asked with, if it says so."""
        packed = step.input_hash or b""
        if len(packed) != 4 + 4 * DIGEST_BYTES:
            return None
        model, system, tools, messages = (packed[at : at + DIGEST_BYTES] for at in range(4, len(packed), DIGEST_BYTES))
        used, at = step.usage.input if step.usage else 0, step.ended or step.started
        return cls(model, system, tools, messages, int.from_bytes(packed[:4], "big"), used, at)


class Miss(msgspec.Struct, frozen=True):
    """Why a prompt could not come from the cache."""

    segment: Segment
    why: str


class Prefix:
    """Measures requests. Each message is encoded once: `_chain[n]` is the hash of the first n + 1, `_sizes[n]` their
    bytes.

    Messages are compared by identity first, so that a turn costs what it adds. `tools_changed` says how the tools last
    became others.
    """

    def __init__(self) -> None:
        self._messages: tuple[Message, ...] = ()
        self._chain: list[bytes] = []
        self._sizes: list[int] = []
        self._tools: tuple[ToolSchema, ...] = ()
        self._tool_digests: dict[str, bytes] = {}
        self._tools_digest = _digest(b"")
        self._tools_size = 0
        self.tools_changed = ""
        self._system = ""
        self._system_digest = _digest(b"")

    def measure(self, request: Request) -> Sent:
        """A request's digests."""
        self._add_messages(request.messages)
        if request.tools is not self._tools:
            self._tools = request.tools
            encoded = {tool.name: _ENCODER.encode(tool) for tool in request.tools}
            self._tools_size = sum(map(len, encoded.values()))
            digests = {name: _digest(each) for name, each in encoded.items()}
            if self._tool_digests and digests != self._tool_digests:
                self.tools_changed = _named(self._tool_digests, digests)
            self._tool_digests, self._tools_digest = digests, _digest(b"".join(digests.values()))
        if request.system is not self._system:
            self._system, self._system_digest = request.system, _digest(request.system.encode("utf-8", "replace"))
        return Sent(
            _digest(request.model.encode()),
            self._system_digest,
            self._tools_digest,
            self.digest(len(request.messages)),
            len(request.messages),
        )

    @property
    def fixed_size(self) -> int:
        """Bytes of the system prompt and the tools."""
        return len(self._system) + self._tools_size

    def size(self, start: int = 0) -> int:
        """Bytes of the messages from `start` on."""
        return (self._sizes[-1] if self._sizes else 0) - (self._sizes[start - 1] if start else 0)

    def digest(self, count: int) -> bytes:
        """The hash of the first `count` messages; of as many as there are, if there are fewer."""
        count = min(count, len(self._chain))
        return self._chain[count - 1][:DIGEST_BYTES] if count else _digest(b"")

    def _add_messages(self, messages: Sequence[Message]) -> None:
        kept = _shared(self._messages, messages)
        del self._chain[kept:], self._sizes[kept:]
        last = self._chain[-1] if self._chain else b""
        size = self._sizes[-1] if self._sizes else 0
        for message in messages[kept:]:
            encoded = encode(message)
            last = blake2b(last + encoded, digest_size=16).digest()
            size += len(encoded) + pictures(message)
            self._chain.append(last)
            self._sizes.append(size)
        self._messages = tuple(messages)


def compare(before: Sent, now: Sent, prefix: Prefix, revised: str) -> Miss | None:
    """What of the last request does not stand at this one's beginning; `revised` is what was done to the history."""
    if before.model != now.model:
        return Miss("model", "another model is asked")
    if before.system != now.system:
        return Miss("system", "the system prompt is another than before")
    if before.tools != now.tools:
        return Miss("tools", "the tools are not those of before")
    if now.count < before.count or prefix.digest(before.count) != before.messages:
        return Miss("history", revised or "what was said is not what was sent before")
    return None


def _named(before: dict[str, bytes], now: dict[str, bytes]) -> str:
    """Which tools came, went or changed."""
    changed = [name for name in now if name in before and before[name] != now[name]]
    lists = (("came", now.keys() - before.keys()), ("went", before.keys() - now.keys()), ("changed", set(changed)))
    return "; ".join(f"{word}: {', '.join(sorted(names))}" for word, names in lists if names) or "their order"


def unexplained(before: Sent, usage: Usage, model: ModelInfo, now_ms: int) -> Miss | None:
    """A miss although the request began as the last one did, as far as the vendor's count shows it."""
    counted = model.cache_read_price is not None or usage.cache_read > 0
    if not counted or usage.estimated or before.tokens < SMALLEST_CACHED or usage.cache_read * 2 >= before.tokens:
        return None
    idle = (now_ms - before.at) // 1000
    if idle >= KEPT_SECONDS:
        return Miss(
            "cache", f"it was asked {idle // 60} minutes after the last request; vendors keep a prompt for about 5"
        )
    return Miss("cache", "the request begins as the last one did; the service had dropped it, or did not look for it")


def price_of_miss(model: ModelInfo, tokens: int) -> int | None:
    """What tokens cost more when they do not come from the cache, in micro-USD, rounded up."""
    if model.input_price is None or model.cache_read_price is None:
        return None
    return -(-tokens * (model.input_price - model.cache_read_price) // 1_000_000)


def _shared(before: Sequence[Message], now: Sequence[Message]) -> int:
    """How many messages both begin with."""
    shortest = min(len(before), len(now))
    if before[:shortest] == now[:shortest]:
        return shortest
    return next(index for index in range(shortest) if before[index] != now[index])


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
