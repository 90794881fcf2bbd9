"""Chat Completions, both ways: requests as bytes, events as deltas. No I/O.

Source: platform.openai.com/docs/api-reference/chat and /chat-streaming.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from autohands.extensions.provider_openai.account import OPENAI, Quirks
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
from autohands.sdk.reply import Deltas, Key, ReplyAssembler, tokens

NO_IMAGE = "[the image cannot be shown]"
_JSON = msgspec.json.Encoder()
_EFFORT = {"off": "none", "low": "low", "medium": "medium", "high": "high"}
_STOPS: dict[str, StopReason] = {
    "stop": "end",
    "eos": "end",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "refusal",
}
_FAILURES = frozenset({"error", "insufficient_system_resource"})


class ChatEncoder:
    """Writes requests for one service."""

    def __init__(self, quirks: Quirks = OPENAI) -> None:
        self._quirks = quirks

    def message(self, message: Message, tag: str, images: Images) -> bytes:
        """One message as the objects that stand for it, joined by commas; `tag` is the vendor of the thinking."""
        if message.role == "tool":
            return b",".join(map(_JSON.encode, _tool_messages(message, images)))
        if message.role == "user":
            content = [_user_part(part, images) for part in message.parts if isinstance(part, Text | Image)]
            if len(content) == 1 and "text" in content[0]:
                return _JSON.encode({"role": "user", "content": content[0]["text"]})
            return _JSON.encode({"role": "user", "content": content}) if content else b""
        return self._assistant(message, tag)

    def _assistant(self, message: Message, tag: str) -> bytes:
        text, calls = message.text, message.tool_calls
        if not text and not calls:
            return b""
        out: dict[str, Any] = {"role": "assistant", "content": text or None}
        field = self._quirks.returns_reasoning
        if field is not None:
            thought = "".join(part.text for part in message.parts if isinstance(part, Thinking) and part.vendor == tag)
            if thought:
                out[field] = thought
        if calls:
            out["tool_calls"] = [_call(call) for call in calls]
        return _JSON.encode(out)

    def tool(self, schema: ToolSchema) -> bytes:
        """One tool."""
        function = {"name": schema.name, "description": schema.description, "parameters": schema.parameters}
        return _JSON.encode({"type": "function", "function": function})

    def body(self, request: Request, messages: Sequence[bytes], tools: Sequence[bytes]) -> bytes:
        """The whole request, of the pieces that were encoded before."""
        said = [_JSON.encode({"role": "system", "content": request.system})] if request.system else []
        said.extend(piece for piece in messages if piece)
        pieces = [b'{"model":', _JSON.encode(request.model), b',"messages":[', b",".join(said), b"]"]
        if tools:
            pieces += [b',"tools":[', b",".join(tools), b"]"]
        options = self._options(request)
        return b"".join([*pieces, b",", _JSON.encode(options)[1:]])

    def _options(self, request: Request) -> dict[str, Any]:
        options: dict[str, Any] = {"stream": True}
        if self._quirks.usage_option:
            options["stream_options"] = {"include_usage": True}
        if request.max_output_tokens is not None:
            options[self._quirks.max_tokens] = request.max_output_tokens
        if request.thinking is not None and self._quirks.thinking_switch:
            options |= thinking_switch(self._quirks, request)
        elif request.thinking is not None and self._quirks.effort:
            options["reasoning_effort"] = _EFFORT[request.thinking]
        if request.cache_key is not None and self._quirks.cache_key:
            options["prompt_cache_key"] = request.cache_key
        return options


def thinking_switch(quirks: Quirks, request: Request) -> dict[str, Any]:
    """How a service with a switch is told to reason: off, on, or, where the model takes one, by an effort alone."""
    if request.thinking == "off":
        return {"thinking": {"type": "disabled"}}
    if request.model.startswith(quirks.effort_models):
        return {"reasoning_effort": request.thinking}
    return {"thinking": {"type": "enabled"}}


def image_url(ref: BlobRef, images: Images) -> str | None:
    """A picture as a data URL, None where there is none to show."""
    data = images.get(ref.sha256)
    return None if data is None else f"data:{ref.mime};base64,{data}"


def _user_part(part: Text | Image, images: Images) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    url = image_url(part.blob, images)
    return {"type": "text", "text": NO_IMAGE} if url is None else {"type": "image_url", "image_url": {"url": url}}


def _tool_messages(message: Message, images: Images) -> list[dict[str, Any]]:
    """A `tool` message for each result; their pictures, which it cannot hold, in a user's message behind them."""
    out: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ToolReturn):
            out.append({"role": "tool", "tool_call_id": part.call_id, "content": part.text})
            if part.images:
                shown.append({"type": "text", "text": f"Images from the result of {part.call_id}:"})
                shown.extend(_user_part(Image(ref), images) for ref in part.images)
    return [*out, {"role": "user", "content": shown}] if shown else out


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = _JSON.encode(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct, gc=False):
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None
    index: int = 0


class _InputDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)


def decode(data: str, reply: ReplyAssembler) -> Deltas:
    """One event of the stream: what it adds to the reply, as deltas."""
    if data == "[DONE]":
        reply.stop = reply.stop or "unknown"
        reply.done = True
        return ()
    chunk = read_chunk(_CHUNK, data)
    if not reply.progress:
        reply.began(chunk.model)
    if chunk.error is not None:
        reply.fail(chunk.error)
    if chunk.usage is not None:
        reply.usage = _usage(chunk.usage)
    deltas: Deltas = ()
    for choice in chunk.choices or ():
        if choice.index == 0:
            deltas += _choice(choice, reply)
    return deltas


def _choice(choice: _Choice, reply: ReplyAssembler) -> Deltas:
    deltas = _delta(choice.delta, reply) if choice.delta is not None else ()
    if choice.finish_reason in _FAILURES:
        reply.fail({"code": "server_error", "message": f"the answer ended with {choice.finish_reason}"})
    elif choice.finish_reason:
        reply.stop = _STOPS.get(choice.finish_reason, "unknown")
    return deltas


def _delta(delta: _Delta, reply: ReplyAssembler) -> Deltas:
    deltas: Deltas = ()
    thought = delta.reasoning_content or delta.reasoning
    if thought and isinstance(thought, str):
        deltas += reply.thinking(thought)
    if isinstance(delta.content, str):
        deltas += reply.text(delta.content)
    elif delta.content:
        deltas += _pieces(delta.content, reply)
    if delta.refusal:
        deltas += reply.refusal(delta.refusal)
    for call in delta.tool_calls or ():
        _take_call(call, reply)
    return deltas


def _pieces(content: list[Any], reply: ReplyAssembler) -> Deltas:
    """Content as a list of typed pieces, as Mistral's reasoning models send it."""
    deltas: Deltas = ()
    for piece in content:
        if isinstance(piece, dict) and piece.get("type") == "text":
            deltas += reply.text(str(piece.get("text") or ""))
        elif isinstance(piece, dict) and piece.get("type") == "thinking":
            inner = piece.get("thinking")
            said = inner if isinstance(inner, list) else [{"text": inner}]
            deltas += reply.thinking("".join(str(each.get("text") or "") for each in said if isinstance(each, dict)))
    return deltas


def _take_call(piece: _Call, reply: ReplyAssembler) -> None:
    function = piece.function or _Function()
    key = _key(piece, reply)
    known = reply.call_id(key)
    if known and piece.id and piece.id != known and function.name:
        key = f"{key}:{piece.id}"  # some services give every parallel call the index 0
    if piece.id or function.name:
        reply.call(key, id=piece.id, name=function.name)
    if isinstance(function.arguments, str):
        reply.arguments(function.arguments, key)
    elif function.arguments is not None:
        reply.arguments(_JSON.encode(function.arguments).decode(), key)


def _key(piece: _Call, reply: ReplyAssembler) -> Key:
    """What names the call: its index, or where a service sends none, its id, and then silence for more of the same."""
    if piece.index is not None:
        return piece.index
    return piece.id or reply.last_call or "call"


def _usage(usage: _Usage) -> Usage:
    read = usage.prompt_tokens_details or _InputDetails()
    written = usage.completion_tokens_details or _OutputDetails()
    return Usage(
        input=tokens(usage.prompt_tokens),
        output=tokens(usage.completion_tokens),
        cache_read=tokens(read.cached_tokens or usage.prompt_cache_hit_tokens),
        cache_write=tokens(read.cache_write_tokens),
        thinking=tokens(written.reasoning_tokens),
    )
