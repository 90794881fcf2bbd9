"""Deltas into one reply: the only assembler, for all vendors."""

from __future__ import annotations

import re
import uuid
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Message, Part, Reply, StopReason, Text, Thinking, ToolCall, Usage
from autohands.protocols.provider import Delta, TextPiece, ThinkingPiece
from autohands.sdk.arguments import ARGUMENT_BYTES, read_arguments
from autohands.sdk.faults import error_fields

TEXT_CHARACTERS = 8_000_000
MOST_BLOCKS = 512
MOST_TOKENS = 1_000_000_000
CHARACTERS_A_TOKEN = 4

Key: TypeAlias = int | str
Deltas: TypeAlias = tuple[Delta, ...]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class _TextBlock(Struct):
    pieces: list[str]


class _ThinkingBlock(Struct):
    pieces: list[str]
    signature: str | None = None
    opaque: str | None = None
    id: str | None = None


class _CallBlock(Struct):
    pieces: list[str]
    id: str = ""
    name: str = ""
    size: int = 0
    bare: bool = False


_Block: TypeAlias = _TextBlock | _ThinkingBlock | _CallBlock
_B = TypeVar("_B", _TextBlock, _ThinkingBlock, _CallBlock)


class ReplyAssembler:
    """Collects one answer. A block is named by a key of the vendor's (an index) and keeps the place of its first piece.

    `vendor` is stamped on thinking, so that it is passed back only to whoever signed it. A wire sets `usage`, `stop`
    (the answer is whole), `done` (the stream said its last word) and `error` (code and message of an error event).
    `progress` grows with each meaningful piece: keep-alives and empty deltas leave it as it is.
    """

    def __init__(self, *, vendor: str = "", prompt_bytes: int = 0) -> None:
        self.model = ""
        self.usage: Usage | None = None
        self.stop: StopReason | None = None
        self.done = False
        self.error: tuple[str, str] | None = None
        self.progress = 0
        self.last_call: Key | None = None
        self._vendor = vendor
        self._prompt_bytes = prompt_bytes
        self._blocks: dict[Key, _Block] = {}
        self._characters = 0
        self._refused = False

    def began(self, model: str | None = None) -> None:
        """The service has begun to answer, naming the model."""
        if not self.progress:
            self.progress = 1
            self.model = clean(model or "")

    def text(self, piece: str, key: Key = "text") -> Deltas:
        """More text. The answer ends with `length` where it grows past every measure."""
        piece = clean(piece)
        if not piece or self.done:
            return ()
        self._block(key, _TextBlock).pieces.append(piece)
        self._count(len(piece))
        return (TextPiece(piece),)

    def refusal(self, piece: str, key: Key = "text") -> Deltas:
        """More of the text with which the model declines."""
        self._refused = self._refused or bool(piece)
        return self.text(piece, key)

    def thinking(self, piece: str, key: Key = "thinking") -> Deltas:
        """More reasoning."""
        piece = clean(piece)
        if not piece or self.done:
            return ()
        self._block(key, _ThinkingBlock).pieces.append(piece)
        self._count(len(piece))
        return (ThinkingPiece(piece),)

    def sign(
        self, key: Key = "thinking", *, signature: str | None = None, opaque: str | None = None, id: str | None = None
    ) -> None:
        """What the vendor wants back with the reasoning `key`."""
        block = self._block(key, _ThinkingBlock)
        block.signature = (block.signature or "") + clean(signature) if signature else block.signature
        block.opaque = clean(opaque) if opaque else block.opaque
        block.id = clean(id) if id else block.id
        self.progress += 1

    def call(self, key: Key, *, id: str | None = None, name: str | None = None, bare: bool = False) -> None:
        """A tool call begins. `bare` ones may have no arguments at all, for vendors that then send no piece."""
        block = self._block(key, _CallBlock)
        self.last_call = key
        if (id and not block.id) or (name and not block.name):
            block.id = block.id or id or ""
            block.name = block.name or name or ""
            block.bare = bare
            self.progress += 1

    def arguments(self, piece: str, key: Key) -> None:
        """More of a call's arguments."""
        if not piece:
            return
        block = self._block(key, _CallBlock)
        if block.size <= ARGUMENT_BYTES:
            block.pieces.append(piece)
        block.size += len(piece)
        self.progress += 1

    def fail(self, error: Any) -> None:
        """The stream brought an error object instead of the rest of the answer."""
        self.error = error_fields(error)

    def call_id(self, key: Key) -> str | None:
        """The vendor's id of the call `key`, None if there is no such call."""
        block = self._blocks.get(key)
        return block.id if isinstance(block, _CallBlock) else None

    def has_pieces(self, key: Key) -> bool:
        """Whether anything came for the block `key`."""
        block = self._blocks.get(key)
        return block is not None and bool(block.pieces)

    def finish(self) -> Reply:
        """The whole reply.

        A call that cannot be read is kept, marked `invalid`. A second one with the id of a first is left out if it is
        the same call again. Without a usage from the vendor there is an estimate.
        """
        stop: StopReason = "refusal" if self._refused else self.stop or "unknown"
        parts: list[Part] = []
        seen: dict[str, ToolCall] = {}
        for block in self._blocks.values():
            part = self._part(block, seen, cut=stop == "length")
            if part is not None:
                parts.append(part)
        if seen and stop in ("end", "unknown"):
            stop = "tool_calls"
        elif not seen and stop == "tool_calls":
            stop = "end"
        return Reply(Message("assistant", tuple(parts)), stop, self.usage or self._estimate(), self.model)

    def _part(self, block: _Block, seen: dict[str, ToolCall], *, cut: bool) -> Part | None:
        joined = "".join(block.pieces)
        if isinstance(block, _TextBlock):
            return Text(joined)
        if isinstance(block, _ThinkingBlock):
            if not (joined or block.signature or block.opaque):
                return None
            return Thinking(joined, self._vendor, block.signature, block.opaque, block.id)
        call = _read_call(block, joined, cut=cut)
        first = seen.get(call.id)
        if first is not None:
            if first == call:
                return None
            call = ToolCall(_made_id(), call.name, {}, f"the call id {call.id!r} was used twice in one reply")
        seen[call.id] = call
        return call

    def _block(self, key: Key, kind: type[_B]) -> _B:
        block = self._blocks.get(key)
        if isinstance(block, kind):
            return block
        if len(self._blocks) >= MOST_BLOCKS:
            raise ProviderError(f"the model's reply has more than {MOST_BLOCKS} parts", kind="broken")
        made = self._blocks[key] = kind([])
        return made

    def _count(self, characters: int) -> None:
        self.progress += 1
        self._characters += characters
        if self._characters >= TEXT_CHARACTERS:
            self.stop = "length"
            self.done = True

    def _estimate(self) -> Usage:
        said = self._characters + sum(block.size for block in self._blocks.values() if isinstance(block, _CallBlock))
        return Usage(
            input=self._prompt_bytes // CHARACTERS_A_TOKEN, output=-(-said // CHARACTERS_A_TOKEN), estimated=True
        )


def clean(text: str) -> str:
    """Text without NULs, and with U+FFFD for lone surrogates: neither can be stored."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "")


def tokens(count: int | None) -> int:
    """A vendor's token count within reason: absent and negative ones are 0, absurd ones are cut."""
    return min(max(count or 0, 0), MOST_TOKENS)


def _made_id() -> str:
    return f"call_{uuid.uuid4().hex}"


def _known_id(id: str) -> str:
    """An id every vendor takes back: the given one where it has the usual form, one derived from it where not."""
    if not id:
        return _made_id()
    return id if _ID.fullmatch(id) else f"call_{uuid.uuid5(uuid.NAMESPACE_OID, ascii(id)).hex}"


def _read_call(block: _CallBlock, raw: str, *, cut: bool) -> ToolCall:
    call_id = _known_id(block.id)
    if not _NAME.fullmatch(block.name):
        name = re.sub(r"[^A-Za-z0-9_-]", "_", block.name)[:64] or "unnamed"
        return ToolCall(call_id, name, {}, f"{block.name[:80]!r} is not a tool's name")
    arguments, invalid = ({}, None) if block.bare and not raw and not cut else read_arguments(raw, cut=cut)
    return ToolCall(call_id, block.name, arguments, invalid)
