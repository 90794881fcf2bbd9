"""What is said: messages and their parts, in no vendor's words."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct


class BlobRef(Struct, frozen=True, gc=False):
    """Bytes kept beside the messages: `sha256` in hex, media type, size in bytes."""

    sha256: str
    mime: str
    size: int


class Text(Struct, frozen=True, gc=False, tag="text"):
    """Plain text or Markdown."""

    text: str


class Image(Struct, frozen=True, gc=False, tag="image"):
    """A picture, by reference."""

    blob: BlobRef


class Thinking(Struct, frozen=True, gc=False, tag="thinking", omit_defaults=True):
    """A model's reasoning, passed back unchanged to the vendor that signed it.

    `signature` and `opaque` (redacted or encrypted reasoning) are the vendor's bytes; `vendor` says whose, `id` is the
    vendor's name for the item.
    """

    text: str
    vendor: str = ""
    signature: str | None = None
    opaque: str | None = None
    id: str | None = None


class ToolCall(Struct, frozen=True, gc=False, tag="tool_call", omit_defaults=True):
    """The model asks for a tool. With `invalid` set the arguments could not be read, and the call must not run."""

    id: str
    name: str
    arguments: dict[str, Any]
    invalid: str | None = None


class ToolReturn(Struct, frozen=True, gc=False, tag="tool_return", omit_defaults=True):
    """What a tool answered to the call `call_id`."""

    call_id: str
    text: str
    images: tuple[BlobRef, ...] = ()
    failed: bool = False


Part: TypeAlias = Text | Image | Thinking | ToolCall | ToolReturn
Role: TypeAlias = Literal["user", "assistant", "tool"]


class Message(Struct, frozen=True, gc=False):
    """One turn of speech. `tool` messages hold only `ToolReturn` parts; the system prompt is not a message."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls, in the order asked."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


class Usage(Struct, frozen=True, gc=False, omit_defaults=True):
    """Tokens of one model call. `input` counts all of the prompt, `cache_read` and `cache_write` are shares of it."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    thinking: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.thinking + other.thinking,
            self.estimated or other.estimated,
        )


StopReason: TypeAlias = Literal["end", "tool_calls", "length", "refusal", "pause", "unknown"]


class Reply(Struct, frozen=True, gc=False, omit_defaults=True):
    """A finished answer of a model: what it said, why it stopped, what it used."""

    message: Message
    stop: StopReason = "end"
    usage: Usage = Usage()
    model: str = ""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the reply, in the order asked."""
        return self.message.tool_calls


def user(text: str) -> Message:
    """A user's message of one text."""
    return Message("user", (Text(text),))
