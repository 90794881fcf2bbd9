"""The Gemini API from the service's side: what it demands of a request, and how it streams an answer.

Source: ai.google.dev/api/generate-content, /api/caching#Schema, /gemini-api/docs/function-calling, /thought-signatures.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from autohands.testing.script import ScriptedCall, Turn, id_of, words
from autohands.testing.vendor_chat import first

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
UNSIGNED = "skip_thought_signature_validator"
IMAGES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")

_FIELDS = frozenset(
    re.findall(r"\w+", "contents tools toolConfig safetySettings systemInstruction generationConfig cachedContent")
)
_PARTS = {
    "user": frozenset(("text", "inlineData", "functionResponse")),
    "model": frozenset(("text", "inlineData", "functionCall")),
}
_SCHEMA = frozenset(
    re.findall(
        r"\w+",
        "type format title description nullable enum items maxItems minItems properties required minProperties "
        "maxProperties minimum maximum minLength maxLength pattern example anyOf propertyOrdering default",
    )
)
_TYPES = ("string", "number", "integer", "boolean", "array", "object")
_STOPS = {"end": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY", "pause": "OTHER"}
_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


class FakeGemini:
    """`POST /v1beta/models/{model}:streamGenerateContent`. What it signed must come back as it was."""

    name = "gemini"
    path = ":streamGenerateContent"

    def check(self, body: dict[str, Any]) -> str | None:
        """What is wrong with a request, in the service's words; None if nothing is."""
        if unknown := set(body) - _FIELDS:
            return f'Invalid JSON payload received. Unknown name "{sorted(unknown)[0]}": Cannot find field.'
        contents = body.get("contents")
        if not isinstance(contents, list) or not contents:
            return "* GenerateContentRequest.contents: contents is not specified"
        system = body.get("systemInstruction", {"parts": [{"text": "x"}]})
        if not system.get("parts"):
            return "* GenerateContentRequest.system_instruction.parts: contents.parts must not be empty."
        problems = (_content_problem(f"contents[{at}]", content) for at, content in enumerate(contents))
        declared = [each for tool in body.get("tools") or () for each in tool.get("functionDeclarations") or ()]
        return (
            first(problems)
            or _order_problem(contents)
            or _signature_problem(contents)
            or first(_declaration_problem(each) for each in declared)
            or _options_problem(body.get("generationConfig") or {})
        )

    def turn(self, body: dict[str, Any]) -> int:
        """How often the model has spoken before."""
        return sum(1 for content in body["contents"] if content["role"] == "model")

    def opening(self, body: dict[str, Any]) -> str:
        """What tells this conversation from others."""
        return json.dumps([body.get("systemInstruction"), body["contents"][0]["parts"][0]])

    def render(self, turn: Turn, number: int, body: dict[str, Any]) -> list[bytes]:
        """The events of an answer."""
        told = [_answer(number, [{"text": piece, "thought": True}]) for piece in words(turn.thinking)]
        told += [_answer(number, [{"text": piece}]) for piece in words(turn.text)]
        broken = next((each for each in turn.calls if _arguments(each) is None), None)
        if broken is None or turn.stop == "length":
            told += [_answer(number, [part]) for part in _calls(turn, number)]
        end: dict[str, Any] = {"finishReason": _STOPS.get(turn.stop or "end", "STOP")}
        if broken is not None and turn.stop != "length":
            end = {
                "finishReason": "MALFORMED_FUNCTION_CALL",
                "finishMessage": f"Malformed function call: call:{broken.name}{str(broken.arguments)[:200]}",
            }
        signed = {"thoughtSignature": sign(turn.text)} if (turn.text or turn.thinking) and not turn.calls else {}
        told.append(_answer(number, [{"text": "", **signed}], **end))
        usage = _usage(turn, body)
        return [_event({**each, "usageMetadata": usage}) for each in told]


def error_body(status: int, code: str, message: str) -> dict[str, Any]:
    """An error as Google words it."""
    name = _STATUS.get(status, code or HTTPStatus(status).phrase.upper().replace(" ", "_"))
    return {"error": {"code": status, "message": message, "status": name}}


def listing(names: tuple[str, ...]) -> dict[str, Any]:
    """The list of models, with one among them that answers with no text."""
    rows = [
        {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name,
            "inputTokenLimit": 65_536,
            "outputTokenLimit": 8_192,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }
        for name in names
    ]
    return {"models": [*rows, {"name": "models/fake-embedding", "supportedGenerationMethods": ["embedContent"]}]}


def sign(text: str) -> str:
    """The signature of a part, which is base64."""
    return base64.b64encode(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:24]).decode()


def sign_call(call: dict[str, Any]) -> str:
    """The signature of a call: of its name and arguments."""
    return sign(json.dumps([call.get("name"), call.get("args") or {}], sort_keys=True))


def _arguments(each: ScriptedCall) -> dict[str, Any] | None:
    """A call's arguments, None where the service itself could not read them."""
    if isinstance(each.arguments, dict):
        return each.arguments
    try:
        found = json.loads(each.arguments, parse_constant=_refuse)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _calls(turn: Turn, number: int) -> Iterator[dict[str, Any]]:
    """The calls as parts, of which the first is signed; one that was cut off is not told at all."""
    for index, each in enumerate(turn.calls):
        arguments = _arguments(each)
        if arguments is None:
            return
        call: dict[str, Any] = {"name": each.name, "args": arguments}
        if call_id := id_of(each, number, index):
            call["id"] = call_id
        yield {"functionCall": call, **({} if index else {"thoughtSignature": sign_call(call)})}


def _answer(number: int, parts: list[dict[str, Any]], **end: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": parts, "role": "model"}, **end, "index": 0}
    return {"candidates": [candidate], "modelVersion": "gemini-fake", "responseId": f"fake-{number}"}


def _event(data: dict[str, Any]) -> bytes:
    """One event as it stands on the wire: the service ends its lines with CRLF."""
    try:
        return f"data: {json.dumps(data, ensure_ascii=False)}\r\n\r\n".encode()
    except UnicodeEncodeError:
        return f"data: {json.dumps(data)}\r\n\r\n".encode()


def _usage(turn: Turn, body: dict[str, Any]) -> dict[str, Any]:
    said, told = turn.usage, len(json.dumps(body["contents"])) // 4
    if said is None:
        counts = {"promptTokenCount": told, "candidatesTokenCount": max(len(turn.text) // 4, 1)}
    else:
        counts = {
            "promptTokenCount": said.input,
            "candidatesTokenCount": said.output - said.thinking,
            **({"cachedContentTokenCount": said.cache_read} if said.cache_read else {}),
            **({"thoughtsTokenCount": said.thinking} if said.thinking else {}),
        }
    return {**counts, "totalTokenCount": sum(counts.values())}


def _content_problem(where: str, content: dict[str, Any]) -> str | None:
    if content.get("role") not in ("user", "model"):
        return "Please use a valid role: user, model."
    if not content.get("parts"):
        return f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty."
    parts = enumerate(content["parts"])
    return first(_part_problem(f"{where}.parts[{at}]", part, content["role"]) for at, part in parts)


def _part_problem(where: str, part: dict[str, Any], role: str) -> str | None:
    data = set(part) - {"thought", "thoughtSignature"}
    if len(data) != 1:
        return f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one initialized field"
    if data - _PARTS["user"] - _PARTS["model"]:
        return f"Invalid JSON payload received. Unknown name \"{data.pop()}\" at '{where}': Cannot find field."
    if data - _PARTS[role]:
        return f"* GenerateContentRequest.{where}: {data.pop()} does not belong to the role {role}"
    return _data_problem(where, part)


def _data_problem(where: str, part: dict[str, Any]) -> str | None:
    if "inlineData" in part:
        return None if part["inlineData"].get("mimeType") in IMAGES else f"Unsupported MIME type in {where}"
    if "functionCall" in part:
        call = part["functionCall"]
        fits = NAME.fullmatch(str(call.get("name"))) and isinstance(call.get("args", {}), dict)
        return None if fits else f"* GenerateContentRequest.{where}.function_call: Invalid function name or args."
    if "functionResponse" in part:
        result = part["functionResponse"]
        if not NAME.fullmatch(str(result.get("name"))) or not isinstance(result.get("response"), dict):
            return f"* GenerateContentRequest.{where}.function_response: name and response are needed."
        kinds = [each.get("inlineData", {}).get("mimeType") for each in result.get("parts") or ()]
        return None if all(kind in IMAGES for kind in kinds) else f"Unsupported MIME type in {where}"
    return None


def _order_problem(contents: list[dict[str, Any]]) -> str | None:
    asked: list[dict[str, Any]] = []
    before = "model"
    for content in contents:
        if content["role"] == before:
            return "Please ensure that multiturn requests alternate between user and model."
        before = content["role"]
        answered = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        if len(answered) != len(asked):
            return (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        for call, result in zip(asked, answered, strict=True):
            if (call["name"], call.get("id")) != (result["name"], result.get("id")):
                return f"Please ensure that the function response {result['name']} matches the function call {call}."
        asked = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
    return "Please ensure that function call turns are followed by function response turns." if asked else None


def _signature_problem(contents: list[dict[str, Any]]) -> str | None:
    """What was signed must come back so; in the turn that is on, the first call of each step is signed."""
    spoken = [at for at, content in enumerate(contents) if any("text" in part for part in content["parts"])]
    users = [at for at in spoken if contents[at]["role"] == "user"]
    for at, content in enumerate(contents):
        calls = [part for part in content["parts"] if "functionCall" in part]
        wrong = [each for each in calls if each.get("thoughtSignature", UNSIGNED) not in _signatures(each)]
        if wrong:
            return f"Thought signature is not valid in contents[{at}]."
        if calls and "thoughtSignature" not in calls[0] and at > max(users, default=-1):
            name = calls[0]["functionCall"]["name"]
            return f"Function call is missing a thought_signature in functionCall parts: {name}, position {at}."
    return None


def _signatures(part: dict[str, Any]) -> tuple[str, str]:
    return UNSIGNED, sign_call(part["functionCall"])


def _declaration_problem(declared: dict[str, Any]) -> str | None:
    if unknown := set(declared) - {"name", "description", "parameters", "response", "behavior"}:
        return f"Invalid JSON payload received. Unknown name \"{sorted(unknown)[0]}\" at 'function_declarations'"
    if not NAME.fullmatch(str(declared.get("name"))):
        return f"Invalid function name {declared.get('name')!r}. Must start with a letter or an underscore."
    if not declared.get("description"):
        return f"{declared['name']}: a description is needed"
    parameters = declared.get("parameters")
    if parameters is None:
        return None
    if parameters.get("type") != "object" or not parameters.get("properties"):
        return f"{declared['name']}.parameters.properties: should be non-empty for OBJECT type"
    return _schema_problem(f"{declared['name']}.parameters", parameters)


def _schema_problem(where: str, schema: dict[str, Any]) -> str | None:
    if unknown := set(schema) - _SCHEMA:
        return f"Invalid JSON payload received. Unknown name \"{sorted(unknown)[0]}\" at '{where}': Cannot find field."
    if "anyOf" in schema and len(schema) > 1:
        return f"{where}: when using any_of, it must be the only field set."
    if "type" in schema and schema["type"] not in _TYPES:
        return f"Invalid value at '{where}.type': {schema['type']}"
    if schema.get("type") == "array" and not schema.get("items"):
        return f"{where}.items: missing field."
    if not all(isinstance(value, str) for value in schema.get("enum") or ()):
        return f"Invalid value at '{where}.enum' (TYPE_STRING)"
    if schema.get("type") == "string" and schema.get("format", "enum") not in ("enum", "date-time"):
        return f"{where}: only 'enum' and 'date-time' are supported for STRING type"
    properties = schema.get("properties") or {}
    if unknown := set(schema.get("required") or ()) - set(properties):
        return f"{where}.required: property is not defined: {sorted(unknown)[0]}"
    inner = [*properties.items(), *(("anyOf", each) for each in schema.get("anyOf") or ())]
    inner += [("items", schema["items"])] if schema.get("items") else []
    return first(_schema_problem(f"{where}.{name}", each) for name, each in inner)


def _options_problem(options: dict[str, Any]) -> str | None:
    if unknown := set(options) - {"maxOutputTokens", "thinkingConfig", "temperature", "topP", "topK", "stopSequences"}:
        return f"Invalid JSON payload received. Unknown name \"{sorted(unknown)[0]}\" at 'generation_config'"
    if options.get("maxOutputTokens", 1) < 1:
        return "max_output_tokens must be positive."
    thinking = options.get("thinkingConfig") or {}
    if {"thinkingBudget", "thinkingLevel"} <= set(thinking):
        return "You can only set only one of thinking budget and thinking level."
    known = thinking.get("thinkingLevel", "low") in ("minimal", "low", "medium", "high")
    return None if known else f"Invalid value at 'thinking_level': {thinking['thinkingLevel']}"
