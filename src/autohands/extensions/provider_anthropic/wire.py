"""The Messages API, both ways: requests as bytes, events as deltas. No I/O.

Source: platform.claude.com/docs, "Messages", "Streaming messages", "Prompt caching", "Thinking".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from autohands.extensions.provider_anthropic.models import describe, thinking_mode
from autohands.protocols.messages import (
    BlobRef,
    Image,
    Message,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    ToolReturn,
    Usage,
)
from autohands.protocols.provider import Request, ToolSchema
from autohands.sdk.exchange import read_chunk
from autohands.sdk.fragments import Images
from autohands.sdk.reply import Deltas, ReplyAssembler, tokens

NO_IMAGE = "[the image cannot be shown]"
MARKED_MESSAGES = 2
BUDGETS = {"low": 2_048, "medium": 8_192, "high": 24_576}
SMALLEST_BUDGET = 1_024

_JSON = msgspec.json.Encoder()
_MARK = b',"cache_control":{"type":"ephemeral"}'
_THOUGHTFUL = tuple(
    b'{"role":"assistant","content":[{"type":"%s"' % kind for kind in (b"thinking", b"redacted_thinking")
)
_NOT_ID = re.compile(r"[^A-Za-z0-9_-]")
_STOPS: dict[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "pause",
    "refusal": "refusal",
}


class MessagesEncoder:
    """Writes requests. A message's last bytes are `}]}`, the end of its last block, so that a mark can be set there."""

    def message(self, message: Message, tag: str, images: Images) -> bytes:
        """One message; `tag` is the vendor of the thinking that may be passed back."""
        blocks = [block for part in message.parts if (block := _block(part, tag, images)) is not None]
        while blocks and blocks[-1]["type"] in ("thinking", "redacted_thinking"):
            blocks.pop()  # the service refuses a message that ends with one
        if not blocks:
            return b""
        role = "assistant" if message.role == "assistant" else "user"
        return _JSON.encode({"role": role, "content": blocks})

    def tool(self, schema: ToolSchema) -> bytes:
        """One tool."""
        return _JSON.encode({"name": schema.name, "description": schema.description, "input_schema": schema.parameters})

    def body(self, request: Request, messages: Sequence[bytes], tools: Sequence[bytes]) -> bytes:
        """The whole request, of the pieces that were encoded before, with at most four cache marks."""
        pieces = [b'{"model":', _JSON.encode(request.model)]
        if tools:
            pieces += [b',"tools":[', b",".join([*tools[:-1], tools[-1][:-1] + _MARK + b"}"]), b"]"]
        if request.system:
            pieces += [b',"system":[{"type":"text","text":', _JSON.encode(request.system), _MARK, b"}]"]
        pieces += [b',"messages":[', b",".join(_marked(request, messages)), b"],"]
        return b"".join([*pieces, _JSON.encode(_options(request, messages))[1:]])


def _marked(request: Request, messages: Sequence[bytes]) -> list[bytes]:
    """The messages that leave a trace, marked for the cache at the last two that are not the model's own."""
    out = list(messages)
    left = MARKED_MESSAGES
    for index in range(len(out) - 1, -1, -1):
        if not left:
            break
        if out[index] and request.messages[index].role != "assistant":
            out[index] = out[index][:-3] + _MARK + b"}]}"
            left -= 1
    return [piece for piece in out if piece]


def _options(request: Request, messages: Sequence[bytes]) -> dict[str, Any]:
    most = request.max_output_tokens or describe(request.model).output_tokens
    options: dict[str, Any] = {"max_tokens": most, "stream": True}
    mode, level = thinking_mode(request.model), request.thinking
    if mode == "budget":
        budget = min(BUDGETS.get(level or "off", 0), most - SMALLEST_BUDGET)
        if budget >= SMALLEST_BUDGET and _may_think(messages):
            options["thinking"] = {"type": "enabled", "budget_tokens": budget}
    elif mode != "none" and (mode != "off" or level not in (None, "off")):
        silent = level == "off" and mode == "on"
        options["thinking"] = {"type": "disabled"} if silent else {"type": "adaptive", "display": "summarized"}
        if level is not None and not silent:
            options["output_config"] = {"effort": "low" if level == "off" else level}
    return options


def _may_think(messages: Sequence[bytes]) -> bool:
    """With a budget, a tool's result may only follow a turn that began with thinking of the same model."""
    last = next((piece for piece in reversed(messages) if piece.startswith(b'{"role":"assistant"')), b"")
    if b'"type":"tool_use"' not in last:
        return True
    return last.startswith(_THOUGHTFUL)


def _block(part: object, tag: str, images: Images) -> dict[str, Any] | None:
    match part:
        case Text(text):
            return {"type": "text", "text": text} if text.strip() else None
        case Image(blob):
            return _image(blob, images)
        case Thinking():
            return _thinking(part) if part.vendor == tag else None
        case ToolCall():
            return {"type": "tool_use", "id": _safe(part.id), "name": part.name, "input": part.arguments}
        case ToolReturn():
            return _result(part, images)
    return None


def _thinking(part: Thinking) -> dict[str, Any] | None:
    if part.opaque is not None:
        return {"type": "redacted_thinking", "data": part.opaque}
    if part.signature is None:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _image(ref: BlobRef, images: Images) -> dict[str, Any]:
    data = images.get(ref.sha256)
    if data is None:
        return {"type": "text", "text": NO_IMAGE}
    return {"type": "image", "source": {"type": "base64", "media_type": ref.mime, "data": data}}


def _result(part: ToolReturn, images: Images) -> dict[str, Any]:
    text = part.text or ("failed without a word" if part.failed else "")
    content: str | list[dict[str, Any]] = text
    if part.images:
        said = [{"type": "text", "text": text}] if text.strip() else []
        content = [*said, *(_image(ref, images) for ref in part.images)]
    out = {"type": "tool_result", "tool_use_id": _safe(part.call_id), "content": content}
    return {**out, "is_error": True} if part.failed else out


def _safe(call_id: str) -> str:
    return _NOT_ID.sub("_", call_id)


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Message(Struct):
    model: str | None = None
    usage: _Usage | None = None


class _ContentBlock(Struct, gc=False):
    type: str = ""
    id: str | None = None
    name: str | None = None
    input: Any = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class _Delta(Struct, gc=False):
    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None


class _Event(Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: _ContentBlock | None = None
    message: _Message | None = None
    usage: _Usage | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)


def decode(data: str, reply: ReplyAssembler) -> Deltas:
    """One event of the stream: what it adds to the reply, as deltas."""
    event = read_chunk(_EVENT, data)
    take = _TAKE.get(event.type)
    return take(event, reply) if take is not None else ()


def _began(event: _Event, reply: ReplyAssembler) -> Deltas:
    message = event.message or _Message()
    reply.began(message.model)
    _count(message.usage, reply)
    return ()


def _block_began(event: _Event, reply: ReplyAssembler) -> Deltas:
    block, key = event.content_block or _ContentBlock(), event.index
    if block.type == "tool_use":
        reply.call(key, id=block.id, name=block.name, bare=True)
        if block.input:
            reply.arguments(_JSON.encode(block.input).decode(), key)
    elif block.type == "text":
        return reply.text(block.text or "", key)
    elif block.type == "thinking":
        reply.sign(key, signature=block.signature)
        return reply.thinking(block.thinking or "", key)
    elif block.type == "redacted_thinking":
        reply.sign(key, opaque=block.data)
    return ()


def _block_grew(event: _Event, reply: ReplyAssembler) -> Deltas:
    delta, key = event.delta or _Delta(), event.index
    match delta.type:
        case "text_delta":
            return reply.text(delta.text or "", key)
        case "input_json_delta":
            reply.arguments(delta.partial_json or "", key)
        case "thinking_delta":
            return reply.thinking(delta.thinking or "", key)
        case "signature_delta":
            reply.sign(key, signature=delta.signature)
    return ()


def _message_changed(event: _Event, reply: ReplyAssembler) -> Deltas:
    _count(event.usage, reply)
    if event.delta is not None and event.delta.stop_reason:
        reply.stop = _STOPS.get(event.delta.stop_reason, "unknown")
    return ()


def _ended(event: _Event, reply: ReplyAssembler) -> Deltas:
    reply.stop = reply.stop or "unknown"
    reply.done = True
    return ()


def _failed(event: _Event, reply: ReplyAssembler) -> Deltas:
    reply.fail(event.error)
    return ()


_TAKE: dict[str, Callable[[_Event, ReplyAssembler], Deltas]] = {
    "message_start": _began,
    "content_block_start": _block_began,
    "content_block_delta": _block_grew,
    "message_delta": _message_changed,
    "message_stop": _ended,
    "error": _failed,
}


def _count(usage: _Usage | None, reply: ReplyAssembler) -> None:
    """The vendor counts cached tokens beside `input_tokens`; the later event's counts, where it has them, hold."""
    if usage is None:
        return
    known = reply.usage or Usage()
    read, written = tokens(usage.cache_read_input_tokens), tokens(usage.cache_creation_input_tokens)
    read, written = read or known.cache_read, written or known.cache_write
    fresh = known.input - known.cache_read - known.cache_write
    if usage.input_tokens:
        fresh = tokens(usage.input_tokens)
    output = tokens(usage.output_tokens) or known.output
    reply.usage = Usage(input=fresh + read + written, output=output, cache_read=read, cache_write=written)
