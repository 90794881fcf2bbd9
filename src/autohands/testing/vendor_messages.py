"""The Messages API from the service's side: what it demands of a request, and how it streams an answer.

Source: platform.claude.com/docs, "Messages", "Streaming messages", "Prompt caching", "Thinking".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from autohands.testing.script import Turn, id_of, words
from autohands.testing.vendor_chat import check_tools, event, first, pieces, raw_arguments

ID = re.compile(r"[A-Za-z0-9_-]+")
MOST_MARKS = 4
SMALLEST_BUDGET = 1_024

_FIELDS = frozenset(
    re.findall(
        r"\w+",
        "model max_tokens messages system tools tool_choice stream thinking output_config temperature top_p top_k "
        "stop_sequences metadata service_tier cache_control",
    )
)
_STOPS = {
    "end": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "refusal": "refusal",
    "pause": "pause_turn",
}
_USER_BLOCKS = frozenset(("text", "image", "tool_result"))
_OWN_BLOCKS = frozenset(("text", "thinking", "redacted_thinking", "tool_use"))


class FakeMessages:
    """`POST /v1/messages`. Thinking is signed, and must come back as it was."""

    name = "messages"
    path = "/messages"

    def check(self, body: dict[str, Any]) -> str | None:
        """What is wrong with a request, in the service's words; None if nothing is."""
        if unknown := set(body) - _FIELDS:
            return f"{sorted(unknown)[0]}: Extra inputs are not permitted"
        messages = body.get("messages")
        if not body.get("model") or not isinstance(messages, list) or not messages:
            return "model, messages: Field required"
        if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
            return "max_tokens: Field required"
        if body.get("stream") is not True:
            return "this fake only streams: set stream to true"
        if messages[0].get("role") != "user":
            return "messages: first message must use the 'user' role"
        tools = [{**each, "parameters": each.get("input_schema")} for each in body.get("tools") or ()]
        problems = (_message_problem(index, message) for index, message in enumerate(messages))
        return first(problems) or _pairing_problem(messages) or _options_problem(body) or check_tools(tools)

    def turn(self, body: dict[str, Any]) -> int:
        """How often the model has spoken before."""
        return sum(1 for message in body["messages"] if message["role"] == "assistant")

    def opening(self, body: dict[str, Any]) -> str:
        """What tells this conversation from others."""
        content = body["messages"][0]["content"]
        bare = [{**block, "cache_control": None} for block in content] if isinstance(content, list) else content
        return json.dumps([body.get("system"), bare])

    def render(self, turn: Turn, number: int, body: dict[str, Any]) -> list[bytes]:
        """The events of an answer."""
        start, end = _usage(turn, body)
        message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        message |= {"stop_reason": None, "stop_sequence": None, "usage": start}
        told: list[dict[str, Any]] = [{"type": "message_start", "message": message}, {"type": "ping"}]
        for index, (block, deltas) in enumerate(_blocks(turn, number)):
            told.append({"type": "content_block_start", "index": index, "content_block": block})
            told.extend({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
            told.append({"type": "content_block_stop", "index": index})
        stop = turn.stop or ("tool_calls" if turn.calls else "end")
        delta = {"stop_reason": _STOPS.get(stop, "end_turn"), "stop_sequence": None}
        told.append({"type": "message_delta", "delta": delta, "usage": end})
        told.append({"type": "message_stop"})
        return [event(each, each["type"]) for each in told]


def error_body(status: int, code: str, message: str) -> dict[str, Any]:
    """An error as Anthropic words it."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    kinds |= {413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}
    return {"type": "error", "error": {"type": kinds.get(status, code), "message": message}, "request_id": "req_fake"}


def sign(text: str) -> str:
    """The signature of thinking."""
    return f"sig-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _blocks(turn: Turn, number: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    if turn.thinking:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in words(turn.thinking)]
        signed = {"type": "signature_delta", "signature": sign(turn.thinking)}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]
    if turn.text:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in words(turn.text)]
    for index, each in enumerate(turn.calls):
        block: dict[str, Any] = {"type": "tool_use", "name": each.name, "input": {}}
        if call_id := id_of(each, number, index):
            block["id"] = call_id
        raw = raw_arguments(each.arguments)
        yield block, [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(raw)]]


def _content(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _message_problem(index: int, message: dict[str, Any]) -> str | None:
    where = f"messages.{index}"
    if message.get("role") not in ("user", "assistant"):
        return f'{where}.role: Input should be "user" or "assistant"'
    blocks = _content(message)
    if not blocks:
        return f"{where}: all messages must have non-empty content"
    if blocks[-1].get("type") in ("thinking", "redacted_thinking"):
        return f"{where}: the final block in an assistant message cannot be `thinking`"
    wanted = _OWN_BLOCKS if message["role"] == "assistant" else _USER_BLOCKS
    return first(_block_problem(f"{where}.content.{at}", block, wanted) for at, block in enumerate(blocks))


def _block_problem(where: str, block: dict[str, Any], wanted: frozenset[str]) -> str | None:
    kind = block.get("type")
    if kind not in wanted:
        return f"{where}: Input tag {kind!r} does not match any of the expected tags"
    if kind == "text" and not block["text"].strip():
        return f"{where}: text content blocks must contain non-whitespace text"
    if kind == "thinking":
        if block.get("signature") != sign(block["thinking"]):
            return f"{where}: Invalid `signature` in `thinking` block"
        return f"{where}: cache_control cannot be set on thinking" if "cache_control" in block else None
    if kind == "tool_use":
        fits = ID.fullmatch(str(block.get("id"))) and isinstance(block.get("input"), dict)
        return None if fits else f"{where}.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    if kind == "image" and block["source"]["media_type"] not in ("image/png", "image/jpeg", "image/gif", "image/webp"):
        return f"{where}: unsupported image"
    return None


def _pairing_problem(messages: list[dict[str, Any]]) -> str | None:
    seen: set[str] = set()
    asked: list[str] = []
    for index, message in enumerate(messages):
        blocks = _content(message)
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if missing := set(asked) - set(answered):
            return f"messages.{index}: `tool_use` ids were found without `tool_result` blocks: {', '.join(missing)}"
        if stray := set(answered) - set(asked):
            return f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(stray)}"
        kinds = [block["type"] == "tool_result" for block in blocks]
        if kinds != sorted(kinds, reverse=True):
            return f"messages.{index}: tool_result blocks must come first"
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if len(set(asked)) != len(asked) or seen & set(asked):
            return f"messages.{index}: `tool_use` ids must be unique"
        seen |= set(asked)
    return f"`tool_use` ids were found without `tool_result` blocks: {', '.join(asked)}" if asked else None


def _options_problem(body: dict[str, Any]) -> str | None:
    if json.dumps([body.get("system"), body.get("tools"), body["messages"]]).count('"cache_control": {') > MOST_MARKS:
        return f"A maximum of {MOST_MARKS} blocks with cache_control may be provided."
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens", 0)
        if budget < SMALLEST_BUDGET or budget >= body["max_tokens"]:
            return "`max_tokens` must be greater than `thinking.budget_tokens`, which must be at least 1024"
    elif thinking and thinking.get("type") not in ("disabled", "adaptive"):
        return "thinking.type: unknown"
    return None


def _usage(turn: Turn, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    said, told = turn.usage, len(json.dumps(body["messages"])) // 4
    read, written = (said.cache_read, said.cache_write) if said else (0, 0)
    start = {
        "input_tokens": said.input - read - written if said else told,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": 1,
    }
    return start, {"output_tokens": said.output if said else max(len(turn.text) // 4, 1)}
