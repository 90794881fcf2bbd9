"""A tool call's arguments, read strictly: a JSON object is taken as it is, nothing else is ever mended."""

from __future__ import annotations

from typing import Any

import msgspec

ARGUMENT_BYTES = 10 * 1024 * 1024
_DECODER = msgspec.json.Decoder()


def read_arguments(raw: str, *, cut: bool) -> tuple[dict[str, Any], str | None]:
    """The arguments and None, or an empty dict and the reason why `raw` is not a JSON object, worded for the model.

    `cut` says that the reply ended for want of tokens.
    """
    if len(raw) > ARGUMENT_BYTES:
        return {}, f"the arguments are larger than {ARGUMENT_BYTES:,} bytes; send less at a time"
    if not raw.strip():
        return {}, _cut_short() if cut else "the arguments are empty; send {} where a tool takes none"
    try:
        value = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        return {}, _cut_short() if cut else f"the arguments are not valid JSON: {_said(error)}"
    except RecursionError:
        return {}, "the arguments are nested too deeply"
    return (value, None) if isinstance(value, dict) else ({}, _not_an_object(value))


def _cut_short() -> str:
    return "the arguments were cut off, because the reply reached its output limit; send less at a time"


def _not_an_object(value: object) -> str:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return "the arguments are a JSON object inside a JSON string; send the object itself"
    return f"the arguments are {msgspec.json.encode(value).decode()[:80]}, not a JSON object"


def _said(error: Exception) -> str:
    text = str(error).removeprefix("JSON is malformed: ")
    return "they end too early" if text == "Input data was truncated" else text
