"""Chat Completions from the service's side: what it demands of a request, and how it streams an answer.

Source: platform.openai.com/docs/api-reference/chat and /chat-streaming.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from autohands.testing.script import Turn, id_of, words

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LONGEST_ID = 40
ARGUMENT_PIECE = 9
MOST_PIECES = 1_000

_FIELDS = frozenset(
    re.findall(
        r"\w+",
        "model messages tools tool_choice parallel_tool_calls stream stream_options max_tokens max_completion_tokens "
        "temperature top_p stop seed n user metadata store reasoning_effort response_format prompt_cache_key "
        "prompt_cache_retention presence_penalty frequency_penalty logprobs service_tier verbosity",
    )
)
_FINISH = {"end": "stop", "tool_calls": "tool_calls", "length": "length", "refusal": "content_filter"}


class FakeChat:
    """`POST /v1/chat/completions`."""

    name = "chat"
    path = "/chat/completions"

    def check(self, body: dict[str, Any]) -> str | None:
        """What is wrong with a request, in the service's words; None if nothing is."""
        if unknown := set(body) - _FIELDS:
            return f"Unrecognized request argument supplied: {sorted(unknown)[0]}"
        messages = body.get("messages")
        if not body.get("model") or not isinstance(messages, list) or not messages:
            return "you must provide a model parameter and messages"
        if body.get("stream") is not True:
            return "this fake only streams: set stream to true"
        if "stream_options" in body and set(body["stream_options"]) - {"include_usage", "include_obfuscation"}:
            return "Unknown parameter in stream_options"
        problems = (_message_problem(index, message) for index, message in enumerate(messages))
        return (
            first(problems) or _pairing_problem(messages) or check_tools(each.get("function") for each in _tools(body))
        )

    def turn(self, body: dict[str, Any]) -> int:
        """How often the model has spoken before."""
        return sum(1 for message in body["messages"] if message["role"] == "assistant")

    def opening(self, body: dict[str, Any]) -> str:
        """What tells this conversation from others."""
        spoken = next((message["content"] for message in body["messages"] if message["role"] == "user"), "")
        return json.dumps([body.get("prompt_cache_key"), spoken])

    def render(self, turn: Turn, number: int, body: dict[str, Any]) -> list[bytes]:
        """The events of an answer."""
        chunks = [_delta(body, {"role": "assistant", "content": ""})]
        chunks += [_delta(body, {"reasoning_content": piece}) for piece in words(turn.thinking)]
        chunks += [_delta(body, {"content": piece}) for piece in words(turn.text)]
        for index, each in enumerate(turn.calls):
            head: dict[str, Any] = {
                "index": index,
                "type": "function",
                "function": {"name": each.name, "arguments": ""},
            }
            if call_id := id_of(each, number, index):
                head["id"] = call_id
            chunks.append(_delta(body, {"tool_calls": [head]}))
            for piece in pieces(raw_arguments(each.arguments)):
                chunks.append(_delta(body, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
        stop = turn.stop or ("tool_calls" if turn.calls else "end")
        chunks.append(_delta(body, {}, _FINISH.get(stop, "stop")))
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append(_chunk(body, [], _usage(turn, body)))
        return [*map(event, chunks), b"data: [DONE]\n\n"]


def event(data: dict[str, Any], name: str | None = None) -> bytes:
    """One event as it stands on the wire."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def error_body(status: int, code: str, message: str) -> dict[str, Any]:
    """An error as OpenAI words it."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def raw_arguments(arguments: dict[str, Any] | str) -> str:
    """A call's arguments as they go over the wire."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def pieces(raw: str) -> list[str]:
    """Arguments cut as services cut them: anywhere."""
    size = max(ARGUMENT_PIECE, len(raw) // MOST_PIECES)
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def first(problems: Iterable[str | None]) -> str | None:
    """The first problem, if there is one."""
    return next(filter(None, problems), None)


def check_tools(functions: Iterable[Any]) -> str | None:
    """What is wrong with the functions on offer."""
    names: set[str] = set()
    for function in functions:
        name = str((function or {}).get("name"))
        if not NAME.fullmatch(name):
            return f"Invalid 'tools': {name!r} does not match '^[a-zA-Z0-9_-]+$'"
        if (function.get("parameters") or {}).get("type") != "object":
            return f"Invalid schema for function {name!r}: schema must be of type 'object'"
        if name in names:
            return f"tools: the name {name!r} is not unique"
        names.add(name)
    return None


def _tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    return list(body.get("tools") or [])


def _message_problem(index: int, message: dict[str, Any]) -> str | None:
    role = message.get("role")
    where = f"messages.[{index}]"
    if role not in ("system", "developer", "user", "assistant", "tool"):
        return f"Invalid value: {role!r} for {where}.role"
    content = message.get("content")
    if content is None and not (role == "assistant" and message.get("tool_calls")):
        return f"Invalid value for 'content': expected a string, got null. {where}"
    if isinstance(content, list) and (not content or role == "tool"):
        return f"Invalid content for {where}"
    for part in content if isinstance(content, list) else ():
        if part.get("type") == "image_url" and not part["image_url"]["url"].startswith(("data:image/", "https://")):
            return f"Invalid image data in {where}"
    return first(_call_problem(where, each) for each in message.get("tool_calls") or ())


def _call_problem(where: str, each: dict[str, Any]) -> str | None:
    function = each.get("function") or {}
    if not each.get("id") or len(each["id"]) > LONGEST_ID:
        return f"Invalid '{where}.tool_calls': the id is missing or longer than {LONGEST_ID}"
    if not NAME.fullmatch(str(function.get("name"))):
        return f"Invalid '{where}.tool_calls.function.name': string does not match pattern"
    try:
        return None if isinstance(json.loads(function["arguments"]), dict) else f"{where}: arguments are no object"
    except (KeyError, TypeError, ValueError):
        return f"{where}: arguments are no JSON"


def _pairing_problem(messages: list[dict[str, Any]]) -> str | None:
    open_ids: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_ids:
                return (
                    f"messages.[{index}] with role 'tool' must be a response to a preceding message with 'tool_calls'"
                )
            open_ids.discard(message["tool_call_id"])
            continue
        if open_ids:
            break
        ids = [each["id"] for each in message.get("tool_calls") or ()]
        if len(ids) != len(set(ids)):
            return f"messages.[{index}]: duplicate tool_call ids"
        open_ids = set(ids)
    if open_ids:
        missing = ", ".join(sorted(open_ids))
        return f"An assistant message with 'tool_calls' must be followed by tool messages. Missing: {missing}"
    return None


def _delta(body: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return _chunk(body, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], None)


def _chunk(body: dict[str, Any], choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": body["model"],
        "system_fingerprint": "fp_fake",
        "choices": choices,
        "usage": usage,
    }


def _usage(turn: Turn, body: dict[str, Any]) -> dict[str, Any]:
    said, told = turn.usage, len(json.dumps(body["messages"])) // 4
    read, written = (said.input, said.output) if said else (told, max(len(turn.text) // 4, 1))
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": said.cache_read if said else 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": said.thinking if said else 0},
    }
