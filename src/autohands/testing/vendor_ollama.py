"""Ollama's chat API from the server's side: what it demands of a request, and how it streams an answer.

Source: docs.ollama.com/api. It stands beneath `/ollama`, so that the same port can be an OpenAI-compatible server too.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any

from autohands.testing.script import Turn, id_of, words
from autohands.testing.vendor_chat import check_tools, first

ROOT = "/ollama"
CONTEXT_TOKENS = 40_960

_FIELDS = frozenset(re.findall(r"\w+", "model messages tools stream options think format keep_alive truncate shift"))
_OPTIONS = frozenset(re.findall(r"\w+", "num_ctx num_predict temperature top_k top_p min_p seed stop num_keep"))
_DONE = {"end": "stop", "tool_calls": "stop", "length": "length", "refusal": "stop"}
_AT = "2026-11-22T10:00:00.000000Z"


class FakeOllama:
    """`POST /api/chat`. Arguments that are no object cannot be sent: the model then prints its call as text."""

    name = "ollama"
    path = "/api/chat"

    def check(self, body: dict[str, Any]) -> str | None:
        """What is wrong with a request, in the server's words; None if nothing is."""
        if unknown := set(body) - _FIELDS:
            return f"unknown field {sorted(unknown)[0]!r}"
        if unknown := set(body.get("options") or {}) - _OPTIONS:
            return f"invalid option provided: {sorted(unknown)[0]!r}"
        messages = body.get("messages")
        if not body.get("model") or not isinstance(messages, list) or not messages:
            return "model and messages are required"
        if body.get("stream") is False:
            return "this fake only streams: leave stream out or set it to true"
        problems = (_message_problem(index, message) for index, message in enumerate(messages))
        return first(problems) or check_tools(each.get("function") for each in body.get("tools") or ())

    def turn(self, body: dict[str, Any]) -> int:
        """How often the model has spoken before."""
        return sum(1 for message in body["messages"] if message["role"] == "assistant")

    def opening(self, body: dict[str, Any]) -> str:
        """What tells this conversation from others."""
        return next((message["content"] for message in body["messages"] if message["role"] == "user"), "")

    def render(self, turn: Turn, number: int, body: dict[str, Any]) -> list[bytes]:
        """The lines of an answer."""
        lines = [_line(body, {"content": "", "thinking": piece}) for piece in words(turn.thinking)]
        lines += [_line(body, {"content": piece}) for piece in words(turn.text)]
        for index, each in enumerate(turn.calls):
            arguments = _object(each.arguments)
            if arguments is None:
                lines.append(_line(body, {"content": _printed(each.name, str(each.arguments))}))
                continue
            function = {"index": index, "name": each.name, "arguments": arguments}
            call_id = id_of(each, number, index)
            lines.append(_line(body, {"content": "", "tool_calls": [_call(call_id, function)]}))
        stop = turn.stop or ("tool_calls" if turn.calls else "end")
        return [*lines, _line(body, {"content": ""}, {"done_reason": _DONE.get(stop, "stop"), **_usage(turn, body)})]


def listing(path: str, models: Sequence[str]) -> dict[str, Any] | None:
    """What the server answers beside the chat, at `/api/tags` and `/api/show`; None elsewhere."""
    if path == f"{ROOT}/api/tags":
        return {"models": [{"name": name, "model": name, "size": 1, "details": {}} for name in models]}
    if path == f"{ROOT}/api/show":
        info = {"general.architecture": "fake", "fake.context_length": CONTEXT_TOKENS}
        able = ["completion", "tools", "vision", "thinking"]
        return {"details": {"family": "fake"}, "model_info": info, "capabilities": able, "parameters": ""}
    return None


def _line(body: dict[str, Any], message: dict[str, Any], end: dict[str, Any] | None = None) -> bytes:
    told = {"model": body["model"], "created_at": _AT, "message": {"role": "assistant", **message}}
    whole = {**told, "done": end is not None, **(end or {})}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _call(call_id: str, function: dict[str, Any]) -> dict[str, Any]:
    return {"id": call_id, "function": function} if call_id else {"function": function}


def _object(arguments: dict[str, Any] | str) -> dict[str, Any] | None:
    if isinstance(arguments, dict):
        return arguments
    try:
        found = json.loads(arguments)
    except ValueError:
        return None
    plain = isinstance(found, dict) and "NaN" not in arguments and "\\u" not in arguments
    return found if plain else None


def _printed(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n</tool_call>'


def _message_problem(index: int, message: dict[str, Any]) -> str | None:
    where = f"messages[{index}]"
    if message.get("role") not in ("system", "user", "assistant", "tool"):
        return f"{where}: invalid role {message.get('role')!r}"
    if not isinstance(message.get("content"), str):
        return f"{where}: content must be a string"
    for image in message.get("images") or ():
        try:
            base64.b64decode(image, validate=True)
        except binascii.Error:
            return f"{where}: illegal base64 data"
    for each in message.get("tool_calls") or ():
        if not isinstance(each.get("function", {}).get("arguments"), dict):
            return f"{where}: json: cannot unmarshal string into Go struct field ToolCallFunction.arguments"
    return None


def _usage(turn: Turn, body: dict[str, Any]) -> dict[str, Any]:
    said, told = turn.usage, len(json.dumps(body["messages"])) // 4
    read, written = (said.input, said.output) if said else (told, max(len(turn.text) // 4, 1))
    return {"total_duration": 1, "load_duration": 1, "prompt_eval_count": read, "eval_count": written}
