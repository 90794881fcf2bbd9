"""Results that stand above word for word: a read that gives the same again says so instead of saying it again."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256

import msgspec

from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import ToolResult

SMALLEST_BYTES = 400
_CANONICAL = msgspec.json.Encoder(order="sorted")


class Shown(msgspec.Struct, frozen=True):
    """A result that the model can see: of which call, in which turn, and the hash of its text."""

    call_id: str
    turn: int
    digest: str


class Repeats:
    """The results in a history by tool and arguments, as long as they stand there whole."""

    def __init__(self) -> None:
        self._shown: dict[bytes, Shown] = {}

    def remember(self, call: ToolCall, result: ToolResult, turn: int) -> None:
        """A result joins the history."""
        if _counts(result) and not result.text.startswith("unchanged: "):
            self._shown[_key(call)] = Shown(call.id, turn, _digest(result))

    def forget(self, call_ids: Collection[str]) -> None:
        """Some results stand there no more, or not whole."""
        self._shown = {key: shown for key, shown in self._shown.items() if shown.call_id not in call_ids}

    def keep(self, call_ids: Collection[str]) -> None:
        """Only some are left."""
        self._shown = {key: shown for key, shown in self._shown.items() if shown.call_id in call_ids}

    def answer(self, call: ToolCall, result: ToolResult) -> ToolResult:
        """What the model is told of the result of a call that only looks: where the same stands, if it does."""
        shown = self._shown.get(_key(call))
        if shown is None or not _counts(result) or shown.digest != _digest(result):
            return result
        return ToolResult(
            f"unchanged: this gives word for word what it gave in turn {shown.turn} (call {shown.call_id}), which "
            "stands above",
            result.data,
        )


def _counts(result: ToolResult) -> bool:
    return not result.failed and not result.images and len(result.text) >= SMALLEST_BYTES


def _digest(result: ToolResult) -> str:
    """The hash of all that it said, also of what the model was not shown."""
    return result.full.sha256 if result.full else sha256(result.text.encode("utf-8", "replace")).hexdigest()


def _key(call: ToolCall) -> bytes:
    return sha256(_CANONICAL.encode([call.name, call.arguments])).digest()
