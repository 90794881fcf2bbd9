"""How many tokens a text will be: from what services counted, and a measured ratio for what came since."""

from __future__ import annotations

import msgspec

from autohands.protocols.messages import Image, Message, ToolReturn

FIRST_RATIO = 1 / 3
LEAST_RATIO, MOST_RATIO = 1 / 10, 1.5
IMAGE_BYTES = 4_800
SMALLEST_SAMPLE = 2_000
_ENCODER = msgspec.json.Encoder()


class Ratios:
    """Tokens per byte of JSON, by model: a cautious guess, until a service has counted."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def of(self, model: str) -> float:
        """Tokens per byte."""
        return self._known.get(model, FIRST_RATIO)

    def learn(self, model: str, size: int, tokens: int) -> None:
        """A request of `size` bytes was counted. Absurd counts and those of tiny requests teach nothing."""
        if size >= SMALLEST_SAMPLE and credible(size, tokens):
            self._known[model] = tokens / size

    def knows(self, model: str) -> bool:
        """Whether a service has counted for this model."""
        return model in self._known


def credible(size: int, tokens: int) -> bool:
    """Whether a text of `size` bytes may have so many tokens: some services leave out what came from their cache."""
    return LEAST_RATIO * size <= tokens <= MOST_RATIO * size


def encode(message: Message) -> bytes:
    """A message's bytes, by which it is measured and compared."""
    return _ENCODER.encode(message)


def pictures(message: Message) -> int:
    """The bytes that stand for a message's pictures."""
    if message.role == "assistant":
        return 0
    count = 0
    for part in message.parts:
        count += len(part.images) if isinstance(part, ToolReturn) else isinstance(part, Image)
    return count * IMAGE_BYTES
