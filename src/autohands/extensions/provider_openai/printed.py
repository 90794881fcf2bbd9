"""Tool calls that a model printed as text instead of making them, in the formats that its kind was taught. Pure.

Four formats: `<tool_call>{…}</tool_call>` (Hermes, Qwen), `[TOOL_CALLS]` (Mistral), `<function=NAME>…</function>`
(Llama, Qwen-Coder), and JSON with a name and arguments, bare or in a fence. The first three say what they are; JSON is
a call only where it names a tool on offer and nothing follows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

TAG, TAG_END = "<tool_call>", "</tool_call>"
MISTRAL = "[TOOL_CALLS]"
FUNCTION, FUNCTION_END = "<function=", "</function>"
FENCE = "```"

_PARAMETER, _PARAMETER_END = "<parameter=", "</parameter>"
_MISTRAL_NAME = re.compile(r"([A-Za-z0-9_-]+)(?:\[CALL_ID\][A-Za-z0-9_-]*)?(?:\[ARGS\])?\s*(?=\{)")
_FENCED = re.compile(r"```[A-Za-z_]*\s*(.*?)\s*```", re.DOTALL)
_NAME = re.compile(r'(?:"name"\s*:\s*"|<function=|\[TOOL_CALLS\])([A-Za-z0-9_-]{1,64})')
_KEYS = frozenset(("name", "arguments", "parameters", "type", "id"))
_JSON = json.JSONDecoder()

Schemas: TypeAlias = Mapping[str, Mapping[str, Any]]


class PrintedCall(Struct, frozen=True):
    """A call: the tool's name and the arguments as JSON text."""

    name: str
    arguments: str


class Refused(Struct, frozen=True):
    """What was meant as a call, of `name`, and cannot be taken for one: why, worded for the model."""

    name: str
    reason: str


class _UnclearError(Exception):
    """The text is not what its marker promised."""


def read_printed(text: str, tools: Schemas, *, cut: bool) -> list[PrintedCall] | Refused | None:
    """The calls that `text` consists of, or why they are not taken; None where it is just text.

    `tools` are the parameters of the tools on offer, by name; `cut` says that the reply ended for want of tokens.
    """
    body = text.strip()
    read = next((reader for marker, reader in _READERS.items() if body.startswith(marker)), None)
    if read is None:
        return _plain(body, tools)
    try:
        return list(read(body, tools))
    except (_UnclearError, ValueError, RecursionError) as error:
        name = _NAME.search(body)
        if name is None:
            return None
        why = "the reply reached its output limit" if cut else str(error)
        return Refused(
            name[1],
            f"a tool call was printed as text and cannot be read ({why}); make the call itself, with nothing after it",
        )


def _tagged(body: str, tools: Schemas) -> Iterator[PrintedCall]:
    while body.startswith(TAG):
        inner, _, body = body.removeprefix(TAG).partition(TAG_END)
        inner, body = inner.strip(), body.strip()
        if inner.startswith(FUNCTION):
            yield from _functions(inner, tools)
        else:
            yield _call(json.loads(inner))
    _nothing_more(body)


def _mistral(body: str, tools: Schemas) -> Iterator[PrintedCall]:
    while body.startswith(MISTRAL):
        body = body.removeprefix(MISTRAL).lstrip()
        if named := _MISTRAL_NAME.match(body):
            value, end = _JSON.raw_decode(body, named.end())
            yield PrintedCall(named[1], json.dumps(value))
        else:
            value, end = _JSON.raw_decode(body)
            for each in value if isinstance(value, list) else [value]:
                yield _call(each)
        body = body[end:].strip()
    _nothing_more(body)


def _functions(body: str, tools: Schemas) -> Iterator[PrintedCall]:
    while body.startswith(FUNCTION):
        inner, end, body = body.removeprefix(FUNCTION).partition(FUNCTION_END)
        if not end:
            raise _UnclearError(f"it does not end with {FUNCTION_END}")
        name, _, inner = inner.partition(">")
        inner, body = inner.strip(), body.strip()
        if inner.startswith("{"):
            yield PrintedCall(name.strip(), inner)
        else:
            given = dict(_parameters(inner, tools.get(name.strip(), {})))
            yield PrintedCall(name.strip(), json.dumps(given))
    _nothing_more(body)


def _parameters(inner: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    while inner.startswith(_PARAMETER):
        value, end, inner = inner.removeprefix(_PARAMETER).partition(_PARAMETER_END)
        if not end or _PARAMETER in value:
            raise _UnclearError(f"a parameter does not end with {_PARAMETER_END}")
        name, _, value = value.partition(">")
        wanted = (schema.get("properties") or {}).get(name.strip())
        yield name.strip(), _value(value.removeprefix("\n").removesuffix("\n"), wanted)
        inner = inner.strip()
    _nothing_more(inner)


def _value(text: str, schema: Any) -> Any:
    """A parameter's text: JSON where the schema wants anything else than a string."""
    if not isinstance(schema, dict) or schema.get("type", "string") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _plain(body: str, tools: Schemas) -> list[PrintedCall] | None:
    """JSON, bare or fenced: calls where every value names a tool on offer and has arguments, else just text."""
    fenced = _FENCED.fullmatch(body)
    try:
        value = msgspec.json.decode(fenced[1] if fenced else body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    found = value if isinstance(value, list) else [value]
    meant = all(isinstance(each, dict) and each.get("name") in tools and _is_call(each) for each in found)
    return [_call(each) for each in found] if found and meant else None


def _is_call(value: dict[str, Any]) -> bool:
    return value.keys() <= _KEYS and isinstance(value.get("arguments", value.get("parameters")), dict)


def _call(value: Any) -> PrintedCall:
    """A call from `{"name": …, "arguments": …}`; what is no object there is found wrong later, with the reason."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise _UnclearError("it has no name")
    return PrintedCall(value["name"], json.dumps(value.get("arguments", value.get("parameters", {}))))


def _nothing_more(rest: str) -> None:
    if rest:
        raise _UnclearError("more text follows it, so that it may be an example")


_READERS = {TAG: _tagged, MISTRAL: _mistral, FUNCTION: _functions}
