"""The Responses API, both ways: requests as bytes, events as deltas. No I/O.

Nothing is stored at the vendor (`store: false`); reasoning comes back encrypted and is passed on with the next request.
Source: platform.openai.com/docs/api-reference/responses and /responses-streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from autohands.extensions.provider_openai.account import OPENAI, Quirks
from autohands.extensions.provider_openai.models import reasons
from autohands.extensions.provider_openai.wire_chat import NO_IMAGE, image_url, thinking_switch
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

_JSON = msgspec.json.Encoder()
_EFFORT = {"off": "none", "low": "low", "medium": "medium", "high": "high"}
_STOPS: dict[str, StopReason] = {"max_output_tokens": "length", "content_filter": "refusal"}
_PARAGRAPH = "\n\n"


class ResponsesEncoder:
    """Writes requests for one service."""

    def __init__(self, quirks: Quirks = OPENAI) -> None:
        self._quirks = quirks

    def message(self, message: Message, tag: str, images: Images) -> bytes:
        """One message as the items that stand for it, joined by commas; `tag` is the vendor of the thinking."""
        if message.role == "tool":
            items = [_output(part, images) for part in message.parts if isinstance(part, ToolReturn)]
        elif message.role == "user":
            content = [_input_part(part, images) for part in message.parts if isinstance(part, Text | Image)]
            items = [{"type": "message", "role": "user", "content": content}] if content else []
        else:
            items = _assistant_items(message, tag)
        return b",".join(map(_JSON.encode, items))

    def tool(self, schema: ToolSchema) -> bytes:
        """One tool."""
        return _JSON.encode(
            {
                "type": "function",
                "name": schema.name,
                "description": schema.description,
                "parameters": schema.parameters,
                "strict": False,
            }
        )

    def body(self, request: Request, messages: Sequence[bytes], tools: Sequence[bytes]) -> bytes:
        """The whole request, of the pieces that were encoded before."""
        return _joined(request, messages, tools, self._options(request))

    def link(self, request: Request, messages: Sequence[bytes], tools: Sequence[bytes], chain: Link) -> bytes:
        """The request as a link of a chain: after the first one only what is new, without system prompt and tools.

        The service refuses `instructions` beside its cache: the system prompt goes as the first message.
        """
        options = self._options(request)
        system = options.pop("instructions", None)
        options |= {"store": True, "caching": {"type": "enabled"}, "expire_at": chain.ends}
        if chain.previous is not None:
            options["previous_response_id"] = chain.previous
            return _joined(request, messages, (), options)
        if system is not None:
            messages = [_JSON.encode({"type": "message", "role": "system", "content": system}), *messages]
        return _joined(request, messages, tools, options)

    def _options(self, request: Request) -> dict[str, Any]:
        options: dict[str, Any] = {"stream": True, "store": False}
        if request.system:
            options["instructions"] = request.system
        if request.max_output_tokens is not None:
            options["max_output_tokens"] = request.max_output_tokens
        if self._quirks.thinking_switch:
            options |= _switched(self._quirks, request)
        elif reasons(request.model):
            options |= _reasoning(request)
        if request.cache_key is not None and self._quirks.cache_key:
            options["prompt_cache_key"] = request.cache_key
        return options


class Link(Struct, frozen=True):
    """A link of a chain of answers: the one before, if there is one, and when the service may forget (Unix time)."""

    previous: str | None
    ends: int


def _joined(request: Request, messages: Sequence[bytes], tools: Sequence[bytes], options: dict[str, Any]) -> bytes:
    pieces = [b'{"model":', _JSON.encode(request.model), b',"input":[', b",".join(filter(None, messages)), b"]"]
    if tools:
        pieces += [b',"tools":[', b",".join(tools), b"]"]
    return b"".join([*pieces, b",", _JSON.encode(options)[1:]])


def _reasoning(request: Request) -> dict[str, Any]:
    reasoning = {"summary": "auto"}
    if request.thinking is not None:
        reasoning["effort"] = _EFFORT[request.thinking]
    return {"include": ["reasoning.encrypted_content"], "reasoning": reasoning}


def _switched(quirks: Quirks, request: Request) -> dict[str, Any]:
    """The switch as in Chat Completions; the effort has another place here."""
    options = thinking_switch(quirks, request) if request.thinking is not None else {}
    effort = options.pop("reasoning_effort", None)
    return options if effort is None else {"reasoning": {"effort": effort}}


def _input_part(part: Text | Image, images: Images) -> dict[str, Any]:
    return {"type": "input_text", "text": part.text} if isinstance(part, Text) else _input_image(part.blob, images)


def _input_image(ref: BlobRef, images: Images) -> dict[str, Any]:
    url = image_url(ref, images)
    return {"type": "input_text", "text": NO_IMAGE} if url is None else {"type": "input_image", "image_url": url}


def _output(part: ToolReturn, images: Images) -> dict[str, Any]:
    output: str | list[dict[str, Any]] = part.text
    if part.images:
        text = [{"type": "input_text", "text": part.text}] if part.text else []
        output = [*text, *(_input_image(ref, images) for ref in part.images)]
    return {"type": "function_call_output", "call_id": part.call_id, "output": output}


def _assistant_items(message: Message, tag: str) -> list[dict[str, Any]]:
    """An assistant's turn; reasoning that nothing follows is left out, because the service refuses it."""
    items = [item for part in message.parts if (item := _assistant_item(part, tag)) is not None]
    while items and items[-1]["type"] == "reasoning":
        items.pop()
    return items


def _assistant_item(part: object, tag: str) -> dict[str, Any] | None:
    if isinstance(part, Text) and part.text:
        return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": part.text}]}
    if isinstance(part, ToolCall):
        arguments = _JSON.encode(part.arguments).decode()
        return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments}
    if isinstance(part, Thinking) and part.vendor == tag and part.id and part.opaque:
        summary = [{"type": "summary_text", "text": text} for text in part.text.split(_PARAGRAPH) if text]
        return {"type": "reasoning", "id": part.id, "summary": summary, "encrypted_content": part.opaque}
    return None


class _Piece(Struct, gc=False):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(Struct, gc=False):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    encrypted_content: str | None = None
    summary: list[_Piece] | None = None
    content: list[_Piece] | None = None


class _InputDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(Struct):
    reason: str | None = None


class _Response(Struct):
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: Any = None
    incomplete_details: _Incomplete | None = None


class _Event(Struct, gc=False):
    type: str = ""
    delta: Any = None
    output_index: int = 0
    summary_index: int = 0
    item: _Item | None = None
    response: _Response | None = None
    error: Any = None
    code: Any = None
    message: Any = None


_EVENT = msgspec.json.Decoder(_Event)


def decode(data: str, reply: ReplyAssembler, ids: list[str] | None = None) -> Deltas:
    """One event of the stream: what it adds to the reply, as deltas. `ids` takes the service's name for the answer."""
    if data == "[DONE]":
        return ()
    event = read_chunk(_EVENT, data)
    if ids is not None and event.response is not None and event.response.id:
        ids[:] = [event.response.id]
    take = _TAKE.get(event.type)
    return take(event, reply) if take is not None else ()


def _text(event: _Event, reply: ReplyAssembler) -> Deltas:
    return reply.text(str(event.delta or ""), event.output_index)


def _refusal(event: _Event, reply: ReplyAssembler) -> Deltas:
    return reply.refusal(str(event.delta or ""), event.output_index)


def _thought(event: _Event, reply: ReplyAssembler) -> Deltas:
    return reply.thinking(str(event.delta or ""), event.output_index)


def _paragraph(event: _Event, reply: ReplyAssembler) -> Deltas:
    return reply.thinking(_PARAGRAPH, event.output_index) if event.summary_index else ()


def _arguments(event: _Event, reply: ReplyAssembler) -> Deltas:
    reply.arguments(str(event.delta or ""), event.output_index)
    return ()


def _began(event: _Event, reply: ReplyAssembler) -> Deltas:
    reply.began(event.response.model if event.response else None)
    return ()


def _added(event: _Event, reply: ReplyAssembler) -> Deltas:
    item = event.item or _Item()
    if item.type == "function_call":
        reply.call(event.output_index, id=item.call_id, name=item.name)
    elif item.type == "reasoning":
        reply.sign(event.output_index, id=item.id)
    return ()


def _finished(event: _Event, reply: ReplyAssembler) -> Deltas:
    """An item as a whole: what did not come in pieces is taken from here."""
    item, key = event.item or _Item(), event.output_index
    missing = not reply.has_pieces(key)
    if item.type == "function_call":
        reply.call(key, id=item.call_id, name=item.name)
        if missing:
            reply.arguments(item.arguments or "", key)
    elif item.type == "reasoning":
        summary = _PARAGRAPH.join(piece.text or "" for piece in item.summary or ())
        deltas = reply.thinking(summary, key) if missing else ()
        reply.sign(key, id=item.id, opaque=item.encrypted_content)
        return deltas
    elif item.type == "message" and missing:
        return sum((_whole_piece(piece, reply, key) for piece in item.content or ()), ())
    return ()


def _whole_piece(piece: _Piece, reply: ReplyAssembler, key: int) -> Deltas:
    return reply.refusal(piece.refusal, key) if piece.refusal else reply.text(piece.text or "", key)


def _ended(event: _Event, reply: ReplyAssembler) -> Deltas:
    response = event.response or _Response()
    if response.usage is not None:
        reply.usage = _usage(response.usage)
    reply.stop = "end"
    if event.type == "response.incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details else None
        reply.stop = _STOPS.get(reason or "", "unknown")
    reply.done = True
    return ()


def _failed(event: _Event, reply: ReplyAssembler) -> Deltas:
    error = event.response.error if event.response else event.error
    reply.fail(error or {"code": event.code, "message": event.message})
    return ()


_TAKE: dict[str, Callable[[_Event, ReplyAssembler], Deltas]] = {
    "response.created": _began,
    "response.output_item.added": _added,
    "response.output_text.delta": _text,
    "response.refusal.delta": _refusal,
    "response.reasoning_summary_part.added": _paragraph,
    "response.reasoning_summary_text.delta": _thought,
    "response.reasoning_text.delta": _thought,
    "response.function_call_arguments.delta": _arguments,
    "response.output_item.done": _finished,
    "response.completed": _ended,
    "response.incomplete": _ended,
    "response.failed": _failed,
    "error": _failed,
}


def _usage(usage: _Usage) -> Usage:
    read = usage.input_tokens_details or _InputDetails()
    written = usage.output_tokens_details or _OutputDetails()
    return Usage(
        input=tokens(usage.input_tokens),
        output=tokens(usage.output_tokens),
        cache_read=tokens(read.cached_tokens),
        cache_write=tokens(read.cache_write_tokens),
        thinking=tokens(written.reasoning_tokens),
    )
