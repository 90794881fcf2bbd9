"""The Responses API from the service's side: what it demands of a request, and how it streams an answer.

Source: platform.openai.com/docs/api-reference/responses and /responses-streaming.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from autohands.testing.script import Turn, id_of, words
from autohands.testing.vendor_chat import NAME, check_tools, event, first, pieces, raw_arguments

_FIELDS = frozenset(
    re.findall(
        r"\w+",
        "model input instructions tools tool_choice parallel_tool_calls stream stream_options store include reasoning "
        "max_output_tokens temperature top_p truncation metadata prompt_cache_key prompt_cache_retention text user "
        "service_tier previous_response_id safety_identifier",
    )
)
_ITEMS = frozenset(("message", "function_call", "function_call_output", "reasoning"))


class FakeResponses:
    """`POST /v1/responses`. Reasoning is encrypted, in a manner of speaking, and must come back as it was."""

    name = "responses"
    path = "/responses"

    def check(self, body: dict[str, Any]) -> str | None:
        """What is wrong with a request, in the service's words; None if nothing is."""
        if unknown := set(body) - _FIELDS:
            return f"Unknown parameter: '{sorted(unknown)[0]}'."
        items = body.get("input")
        if not body.get("model") or not isinstance(items, list) or not items:
            return "Missing required parameter: 'model' or 'input'."
        if body.get("stream") is not True:
            return "this fake only streams: set stream to true"
        problems = (_item_problem(index, items) for index in range(len(items)))
        return first(problems) or _pairing_problem(items) or check_tools(_flat_tools(body))

    def turn(self, body: dict[str, Any]) -> int:
        """How often the model has spoken before: runs of items of its own."""
        own = [_is_own(item) for item in body["input"]]
        return sum(1 for before, now in zip([False, *own], own, strict=False) if now and not before)

    def opening(self, body: dict[str, Any]) -> str:
        """What tells this conversation from others."""
        return json.dumps([body.get("prompt_cache_key"), body["input"][0]])

    def render(self, turn: Turn, number: int, body: dict[str, Any]) -> list[bytes]:
        """The events of an answer."""
        response = {"id": f"resp_{number}", "object": "response", "model": body["model"], "status": "in_progress"}
        told: list[dict[str, Any]] = [
            {"type": "response.created", "response": response},
            {"type": "response.in_progress", "response": response},
        ]
        for index, item in enumerate(_items(turn, number)):
            told.extend(_item_events(index, item))
        short = turn.stop == "length"
        kind = "response.incomplete" if short else "response.completed"
        whole = {**response, "status": "incomplete" if short else "completed", "usage": _usage(turn, body)}
        if short:
            whole["incomplete_details"] = {"reason": "max_output_tokens"}
        told.append({"type": kind, "response": whole})
        return [event({**each, "sequence_number": at}, each["type"]) for at, each in enumerate(told)]


def seal(text: str) -> str:
    """The "encrypted" form of reasoning."""
    return base64.b64encode(f"sealed:{text}".encode()).decode()


def _items(turn: Turn, number: int) -> Iterator[dict[str, Any]]:
    if turn.thinking:
        summary = [{"type": "summary_text", "text": turn.thinking}]
        sealed = seal(turn.thinking)
        yield {"type": "reasoning", "id": f"rs_{number}", "summary": summary, "encrypted_content": sealed}
    if turn.text:
        kind = "refusal" if turn.stop == "refusal" else "output_text"
        field = "refusal" if turn.stop == "refusal" else "text"
        content = [{"type": kind, field: turn.text, "annotations": []}]
        yield {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": content}
    for index, each in enumerate(turn.calls):
        call_id = id_of(each, number, index)
        raw = raw_arguments(each.arguments)
        item = {"type": "function_call", "id": f"fc_{number}_{index}", "name": each.name, "arguments": raw}
        yield {**item, "call_id": call_id} if call_id else item


def _item_events(index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    at = {"output_index": index, "item_id": item["id"]}
    bare = {**item, "status": "in_progress"}
    if item["type"] == "reasoning":
        yield {
            "type": "response.output_item.added",
            **at,
            "item": {"type": "reasoning", "id": item["id"], "summary": []},
        }
        yield {
            "type": "response.reasoning_summary_part.added",
            **at,
            "summary_index": 0,
            "part": {"type": "summary_text"},
        }
        for piece in words(item["summary"][0]["text"]):
            yield {"type": "response.reasoning_summary_text.delta", **at, "summary_index": 0, "delta": piece}
    elif item["type"] == "message":
        part = item["content"][0]
        kind = "refusal" if part["type"] == "refusal" else "output_text"
        yield {"type": "response.output_item.added", **at, "item": {**bare, "content": []}}
        yield {"type": "response.content_part.added", **at, "content_index": 0, "part": {"type": part["type"]}}
        for piece in words(part.get("text") or part.get("refusal")):
            yield {"type": f"response.{kind}.delta", **at, "content_index": 0, "delta": piece, "logprobs": []}
    else:
        yield {"type": "response.output_item.added", **at, "item": {**bare, "arguments": ""}}
        for piece in pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]}
    yield {"type": "response.output_item.done", **at, "item": {**item, "status": "completed"}}


def _flat_tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in body.get("tools") or () if each.get("type") == "function"]


def _is_own(item: dict[str, Any]) -> bool:
    return item["type"] in ("reasoning", "function_call") or item.get("role") == "assistant"


def _item_problem(index: int, items: list[dict[str, Any]]) -> str | None:
    item = items[index]
    where = f"input[{index}]"
    if item.get("type") not in _ITEMS:
        return f"Invalid value: {item.get('type')!r} for {where}.type"
    if item["type"] == "message":
        return _content_problem(where, item)
    if item["type"] == "function_call":
        return _call_problem(where, item)
    if item["type"] == "reasoning":
        text = "".join(part["text"] for part in item["summary"])
        if item.get("encrypted_content") != seal(text):
            return f"The encrypted content for item {item.get('id')} could not be verified."
        if index + 1 == len(items) or not _is_own(items[index + 1]):
            return f"Item {item['id']!r} of type 'reasoning' was provided without its required following item."
    return None


def _content_problem(where: str, item: dict[str, Any]) -> str | None:
    content = item.get("content")
    if isinstance(content, str):
        return None
    wanted = {"output_text"} if item["role"] == "assistant" else {"input_text", "input_image"}
    if not content or any(part.get("type") not in wanted for part in content):
        return f"Invalid value for {where}.content: supported are {sorted(wanted)}"
    return None


def _call_problem(where: str, item: dict[str, Any]) -> str | None:
    if not item.get("call_id") or not NAME.fullmatch(str(item.get("name"))):
        return f"{where}: call_id or name is missing or malformed"
    try:
        return None if isinstance(json.loads(item["arguments"]), dict) else f"{where}.arguments: no object"
    except (KeyError, TypeError, ValueError):
        return f"{where}.arguments: no JSON"


def _pairing_problem(items: list[dict[str, Any]]) -> str | None:
    calls = [item["call_id"] for item in items if item["type"] == "function_call"]
    outputs = [item["call_id"] for item in items if item["type"] == "function_call_output"]
    if len(calls) != len(set(calls)):
        return "Duplicate function_call call_id."
    if missing := set(calls) - set(outputs):
        return f"No tool output found for function call {sorted(missing)[0]}."
    if stray := set(outputs) - set(calls):
        return f"No tool call found for function call output with call_id {sorted(stray)[0]}."
    return None


def _usage(turn: Turn, body: dict[str, Any]) -> dict[str, Any]:
    said, told = turn.usage, len(json.dumps(body["input"])) // 4
    read, written = (said.input, said.output) if said else (told, max(len(turn.text) // 4, 1))
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": said.cache_read if said else 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": said.thinking if said else 0},
        "total_tokens": read + written,
    }
