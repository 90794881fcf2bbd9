"""Ollama's own chat API, both ways: requests as bytes, lines as deltas. No I/O.

Source: docs.ollama.com/api/chat and /capabilities (thinking, tool calling, vision).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from autohands.extensions.provider_local.facts import Facts
from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import (
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
from autohands.sdk.reply import CHARACTERS_A_TOKEN, Deltas, ReplyAssembler, tokens

NO_IMAGE = "[the image cannot be shown]"
MOST_NAMES = 65_536
# A prompt is taken for cut where the server read less than half of what a cautious estimate says, and only where that
# estimate comes near the window: dense text (base64, spaces) alone must not look like it.
LEAST_SHARE = 0.5
NEAR_THE_WINDOW = 0.75

_JSON = msgspec.json.Encoder()
_STOPS: dict[str, StopReason] = {"stop": "end", "length": "length"}


class OllamaEncoder:
    """Writes requests; `facts` gives what is known of a model."""

    def __init__(self, facts: Callable[[str], Facts]) -> None:
        self._facts = facts
        self._names: dict[str, str] = {}

    def message(self, message: Message, tag: str, images: Images) -> bytes:
        """One message as the objects that stand for it, joined by commas; `tag` is the vendor of the thinking."""
        if message.role == "tool":
            return b",".join(map(_JSON.encode, self._results(message, images)))
        if message.role == "user":
            shown = [part.blob.sha256 for part in message.parts if isinstance(part, Image)]
            said = [part.text for part in message.parts if isinstance(part, Text)]
            return _JSON.encode(_user("\n\n".join(said), shown, images)) if said or shown else b""
        return self._assistant(message, tag)

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
        return b"".join([*pieces, b",", _JSON.encode(_options(request, self._facts(request.model)))[1:]])

    def _assistant(self, message: Message, tag: str) -> bytes:
        calls = message.tool_calls
        if not message.text and not calls:
            return b""
        out: dict[str, Any] = {"role": "assistant", "content": message.text}
        thought = "".join(part.text for part in message.parts if isinstance(part, Thinking) and part.vendor == tag)
        if thought:
            out["thinking"] = thought
        if calls:
            out["tool_calls"] = [_call(call) for call in calls]
            self._remember(calls)
        return _JSON.encode(out)

    def _remember(self, calls: Sequence[ToolCall]) -> None:
        """Which tool each call meant: results must name it, and come in another message."""
        if len(self._names) >= MOST_NAMES:
            self._names.clear()
        self._names.update((call.id, call.name) for call in calls)

    def _results(self, message: Message, images: Images) -> list[dict[str, Any]]:
        """A message for each result; their pictures in a user's message behind them."""
        out: list[dict[str, Any]] = []
        shown: list[str] = []
        for part in message.parts:
            if isinstance(part, ToolReturn):
                named = {"tool_name": self._names[part.call_id]} if part.call_id in self._names else {}
                out.append({"role": "tool", "content": part.text, "tool_call_id": part.call_id, **named})
                shown.extend(ref.sha256 for ref in part.images)
        return [*out, _user("Images from the results:", shown, images)] if shown else out


def _user(text: str, shown: Sequence[str], images: Images) -> dict[str, Any]:
    known = [images[sha256] for sha256 in shown if sha256 in images]
    lost = [NO_IMAGE] * (len(shown) - len(known))
    out: dict[str, Any] = {"role": "user", "content": "\n\n".join(filter(None, [text, *lost]))}
    return {**out, "images": known} if known else out


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}


def _options(request: Request, facts: Facts) -> dict[str, Any]:
    """`truncate` and `shift` are off, so that a server that knows them refuses a prompt that is too long."""
    inner: dict[str, Any] = {"num_ctx": facts.window}
    if request.max_output_tokens is not None:
        inner["num_predict"] = min(request.max_output_tokens, facts.window)
    options: dict[str, Any] = {"stream": True, "truncate": False, "shift": False, "options": inner}
    if request.thinking is not None and facts.thinks:
        by_level = facts.thinks_by_level and request.thinking != "off"
        options["think"] = request.thinking if by_level else request.thinking != "off"
    return options


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: Raw = Raw(b"{}")


class _Call(Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(Struct, gc=False):
    model: str | None = None
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


_LINE = msgspec.json.Decoder(_Line)


class Sent(Struct, frozen=True):
    """What went out: how many characters of text, into which window."""

    characters: int
    window: int


def decode(data: str, reply: ReplyAssembler, sent: Sent) -> Deltas:
    """One line of the stream: what it adds to the reply, as deltas.

    Raises:
        ProviderError: `overflow`: the server read only a part of the prompt.
    """
    line = read_chunk(_LINE, data)
    if line.error is not None:
        reply.fail(line.error)
        return ()
    if not reply.progress and line.message is not None:
        reply.began(line.model)
    deltas = _take(line.message, reply) if line.message is not None else ()
    if line.done:
        _check_whole(line, sent)
        reply.usage = _usage(line, sent)
        reply.stop = _STOPS.get(line.done_reason or "stop", "unknown")
        reply.done = True
    return deltas


def _take(message: _Message, reply: ReplyAssembler) -> Deltas:
    deltas: Deltas = ()
    if message.thinking:
        deltas += reply.thinking(message.thinking)
    if message.content:
        deltas += reply.text(message.content)
    for call in message.tool_calls or ():
        function = call.function or _Function()
        key = f"call at {reply.progress}"  # each comes whole, some with the same index and none with an id
        reply.call(key, id=call.id, name=function.name)
        reply.arguments(bytes(function.arguments).decode("utf-8", "replace"), key)
    return deltas


def _check_whole(line: _Line, sent: Sent) -> None:
    estimate = sent.characters / CHARACTERS_A_TOKEN
    read = line.prompt_eval_count or 0
    if 0 < read < estimate * LEAST_SHARE and estimate > sent.window * NEAR_THE_WINDOW:
        raise ProviderError(
            f"the server read {read:,} tokens of a prompt of about {int(estimate):,}: it cut the rest off",
            kind="overflow",
            hint=f"its window is {sent.window:,} tokens; raise context_tokens, or OLLAMA_CONTEXT_LENGTH at the server",
        )


def _usage(line: _Line, sent: Sent) -> Usage:
    """The counts; a server that read all of the prompt from its cache may leave its count out."""
    counted = line.prompt_eval_count is not None
    read = tokens(line.prompt_eval_count) if counted else sent.characters // CHARACTERS_A_TOKEN
    return Usage(input=read, output=tokens(line.eval_count), estimated=not (counted and line.eval_count is not None))
