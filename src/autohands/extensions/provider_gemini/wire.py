"""Requests to the Gemini API, as bytes. No I/O.

A signature belongs to the part that it came on. One of thinking is the thinking's own; one of a text or a call stands
before it as an empty thinking whose `opaque` it is and whose `id` names the kind of part (`reading.py` makes them so).
Source: ai.google.dev/api/generate-content, /api/caching#Schema, /gemini-api/docs/function-calling, /thought-signatures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from autohands.extensions.provider_gemini.models import BUDGETS, thinking_of, wants_signatures
from autohands.protocols.messages import BlobRef, Image, Message, Text, Thinking, ToolCall, ToolReturn
from autohands.protocols.provider import Request, ToolSchema
from autohands.sdk.fragments import Images
from autohands.sdk.translation import Dialect, Names, narrow

NO_IMAGE = "[the image cannot be shown]"
IMAGE_MEDIA = ("image/png", "image/jpeg", "image/webp")
MADE_ID = re.compile(r"gmade_[0-9a-f]{32}")
# What the vendor wants on calls that it did not make itself.
UNSIGNED = "skip_thought_signature_validator"
ON_CALL, ON_TEXT = "functionCall", "text"

NAMES = Names("[A-Za-z_][A-Za-z0-9_-]*", 64)
SCHEMA = Dialect(
    keywords=frozenset(
        re.findall(
            r"\w+",
            "type format title description nullable enum items maxItems minItems properties required minProperties "
            "maxProperties minimum maximum minLength maxLength pattern example anyOf propertyOrdering default",
        )
    ),
    formats={
        "string": frozenset(("enum", "date-time")),
        "number": frozenset(("float", "double")),
        "integer": frozenset(("int32", "int64")),
    },
    text_enums=True,
    lone_any_of=True,
    needs_items=True,
)

_JSON = msgspec.json.Encoder()
_USER = b'{"role":"user","parts":['
_MODEL = b'{"role":"model","parts":['
_END = b"]}"
_RESULT = b'{"functionResponse":{'


class GeminiEncoder:
    """Writes requests. A message's bytes are a whole content, so that neighbours of one role can be joined."""

    def message(self, message: Message, tag: str, images: Images) -> bytes:
        """One message; `tag` is the vendor of the thinking that may be passed back, with the model behind its colon.

        A tool's results lack the tool's name, which only the conversation knows: `body` puts it in.
        """
        modern = wants_signatures(tag.partition(":")[2])
        if message.role == "assistant":
            head, parts = _MODEL, _own_parts(message, tag, modern=modern)
        elif message.role == "tool":
            head, parts = _USER, _result_parts(message, images, nested=modern)
        else:
            head, parts = _USER, [_said(part, images) for part in message.parts if isinstance(part, Text | Image)]
        return head + b",".join(map(_JSON.encode, parts)) + _END if parts else b""

    def tool(self, schema: ToolSchema) -> bytes:
        """One tool; a tool that takes nothing has no schema."""
        out: dict[str, Any] = {"name": NAMES.rename(schema.name), "description": schema.description or schema.name}
        parameters = narrow(schema.parameters, SCHEMA)
        if parameters.get("properties"):
            out["parameters"] = {"type": "object", **parameters}
        return _JSON.encode(out)

    def body(self, request: Request, messages: Sequence[bytes], tools: Sequence[bytes]) -> bytes:
        """The whole request, of the pieces that were encoded before; what grows comes last."""
        pieces = [b"{"]
        if request.system:
            pieces += [b'"systemInstruction":{"parts":[', _JSON.encode({"text": request.system}), b"]},"]
        if tools:
            pieces += [b'"tools":[{"functionDeclarations":[', b",".join(tools), b"]}],"]
            pieces.append(b'"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}},')
        if options := _options(request):
            pieces += [b'"generationConfig":', _JSON.encode(options), b","]
        return b"".join([*pieces, b'"contents":[', b",".join(_contents(request.messages, messages)), b"]}"])


def _options(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if request.max_output_tokens is not None:
        options["maxOutputTokens"] = request.max_output_tokens
    manner, level = thinking_of(request.model.removeprefix("models/")), request.thinking
    if manner.by == "nothing" or (level is None and not manner.unasked):
        return options
    field = "thinkingLevel" if manner.by == "levels" else "thinkingBudget"
    if level == "off":
        options["thinkingConfig"] = {field: manner.least}
    else:
        amount = {} if level is None else {field: level if manner.by == "levels" else BUDGETS[level]}
        options["thinkingConfig"] = {"includeThoughts": True, **amount}
    return options


def _contents(messages: Sequence[Message], pieces: Sequence[bytes]) -> list[bytes]:
    """The contents, in which the roles alternate: what follows in the same role is part of the same content."""
    names: dict[str, str] = {}
    out: list[bytes] = []
    last = b""
    for message, encoded in zip(messages, pieces, strict=True):
        head = _MODEL if message.role == "assistant" else _USER
        piece = _named(message, encoded, names) if message.role == "tool" else encoded
        if message.role == "assistant":
            names.update((call.id, call.name) for call in message.tool_calls)
        if piece and head == last:
            out[-1] = out[-1][: -len(_END)] + b"," + piece[len(head) :]
        elif piece:
            out.append(piece)
            last = head
    return out


def _named(message: Message, piece: bytes, names: dict[str, str]) -> bytes:
    """A message of results with the tools' names. What is split at stands in no text: its quotes would be escaped."""
    first, *results = piece.split(_RESULT)
    ids = [part.call_id for part in message.parts if isinstance(part, ToolReturn)]
    out = [first]
    for call_id, result in zip(ids, results, strict=True):
        out += [_RESULT, b'"name":', _JSON.encode(NAMES.rename(names.get(call_id, "unknown"))), b",", result]
    return b"".join(out)


def _own_parts(message: Message, tag: str, *, modern: bool) -> list[dict[str, Any]]:
    """The model's own parts, each with its signature; without anything but thinking there is nothing to tell."""
    out: list[dict[str, Any]] = []
    waiting: Thinking | None = None
    unsigned = modern
    for part in message.parts:
        if isinstance(part, Thinking):
            if part.vendor == tag:
                out += _left(waiting)
                waiting = part if part.opaque else None
                out += [_thought(part)] if part.signature else []
        elif isinstance(part, Text) and (part.text.strip() or _is_on(waiting, ON_TEXT)):
            out += [] if _is_on(waiting, ON_TEXT) else _left(waiting)
            out.append(_signed({"text": part.text}, waiting if _is_on(waiting, ON_TEXT) else None))
            waiting = None
        elif isinstance(part, ToolCall):
            out += [] if _is_on(waiting, ON_CALL) else _left(waiting)
            made = _signed(_call(part), waiting if _is_on(waiting, ON_CALL) and part.invalid is None else None)
            if unsigned and "thoughtSignature" not in made:
                made["thoughtSignature"] = UNSIGNED
            out.append(made)
            waiting, unsigned = None, False
    out += _left(waiting)
    return out if any(not part.get("thought") for part in out) else []


def _is_on(waiting: Thinking | None, kind: str) -> bool:
    return waiting is not None and waiting.id == kind


def _left(waiting: Thinking | None) -> list[dict[str, Any]]:
    """A signature that came on nothing, or whose part is gone."""
    return [] if waiting is None else [_signed({"text": ""}, waiting)]


def _signed(part: dict[str, Any], waiting: Thinking | None) -> dict[str, Any]:
    return part if waiting is None else {**part, "thoughtSignature": waiting.opaque}


def _thought(part: Thinking) -> dict[str, Any]:
    return {"text": part.text, "thought": True, "thoughtSignature": part.signature}


def _call(call: ToolCall) -> dict[str, Any]:
    made = {"name": NAMES.rename(call.name), "args": call.arguments}
    return {"functionCall": made if MADE_ID.fullmatch(call.id) else {"id": call.id, **made}}


def _result_parts(message: Message, images: Images, *, nested: bool) -> list[dict[str, Any]]:
    """The results; their pictures within them, or where the model does not take that, behind all of them."""
    out: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for part in message.parts:
        if not isinstance(part, ToolReturn):
            continue
        result: dict[str, Any] = {"response": {"error" if part.failed else "output": part.text}}
        if not MADE_ID.fullmatch(part.call_id):
            result = {"id": part.call_id, **result}
        pictures = [_image(ref, images) for ref in part.images]
        if nested and pictures and all("inlineData" in each for each in pictures):
            result["parts"] = pictures
        else:
            shown += pictures
        out.append({"functionResponse": result})
    return out + shown


def _said(part: Text | Image, images: Images) -> dict[str, Any]:
    return {"text": part.text} if isinstance(part, Text) else _image(part.blob, images)


def _image(ref: BlobRef, images: Images) -> dict[str, Any]:
    data = images.get(ref.sha256)
    if data is None or ref.mime not in IMAGE_MEDIA:
        return {"text": NO_IMAGE}
    return {"inlineData": {"mimeType": ref.mime, "data": data}}
