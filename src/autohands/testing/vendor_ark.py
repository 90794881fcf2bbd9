"""Volcengine Ark from the service's side: OpenAI's protocols with a switch for thinking and answers that it keeps.

Source: volcengine.com/docs/82379 (1494384 Chat, 1569618 Responses, 1602228 context cache).
"""

from __future__ import annotations

from typing import Any

from autohands.testing.script import Turn, id_of
from autohands.testing.vendor_chat import FakeChat
from autohands.testing.vendor_responses import FakeResponses

ROOT = "/api/v3"


class FakeArkChat(FakeChat):
    """`POST /api/v3/chat/completions`."""

    name = "ark"
    path = f"{ROOT}/chat/completions"

    def check(self, body: dict[str, Any]) -> str | None:
        """What is wrong with a request; an effort beside a switch that is off is refused."""
        problem = _thinking_problem(body, body.get("reasoning_effort"))
        return problem or super().check({key: value for key, value in body.items() if key != "thinking"})


class FakeArkResponses(FakeResponses):
    """`POST /api/v3/responses`. It keeps what it is told to keep, and takes `previous_response_id` for it."""

    name = "ark-responses"
    path = f"{ROOT}/responses"

    def __init__(self) -> None:
        self._kept: dict[str, list[Any]] = {}

    def check(self, body: dict[str, Any]) -> str | None:
        """What is wrong with a request: the cache stands neither beside `instructions` nor new tools."""
        own = ("thinking", "caching", "expire_at", "previous_response_id")
        previous, caching = body.get("previous_response_id"), body.get("caching")
        if previous is not None and previous not in self._kept:
            return f"The parameter previous_response_id specified in the request is not valid: {previous} is not found"
        if caching and body.get("instructions"):
            return "The parameter instructions specified in the request are not valid: caching is not supported"
        if caching and previous is not None and body.get("tools"):
            return "The parameter tools specified in the request are not valid: they belong to the first request"
        problem = _thinking_problem(body, (body.get("reasoning") or {}).get("effort"))
        plain = {key: value for key, value in body.items() if key not in own}
        return problem or super().check({**plain, "input": self._whole(body)})

    def turn(self, body: dict[str, Any]) -> int:
        """How often the model has spoken before, kept answers included."""
        return super().turn({"input": self._whole(body)})

    def opening(self, body: dict[str, Any]) -> str:
        """What tells this conversation from others."""
        return super().opening({"input": self._whole(body)})

    def render(self, turn: Turn, number: int, body: dict[str, Any]) -> list[bytes]:
        """The events of an answer, which is kept where that was asked."""
        if (body.get("caching") or {}).get("type") == "enabled" and body.get("store") is not False:
            self._kept[f"resp_{number}"] = [*self._whole(body), *_said(turn, number)]
        return super().render(turn, number, body)

    def _whole(self, body: dict[str, Any]) -> list[Any]:
        given = body.get("input")
        return [
            *self._kept.get(body.get("previous_response_id") or "", ()),
            *(given if isinstance(given, list) else ()),
        ]


def _said(turn: Turn, number: int) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    if turn.text:
        content = [{"type": "output_text", "text": turn.text}]
        said.append({"type": "message", "role": "assistant", "content": content})
    for index, each in enumerate(turn.calls):
        call_id = id_of(each, number, index)
        said.append({"type": "function_call", "call_id": call_id, "name": each.name, "arguments": "{}"})
    return said


def _thinking_problem(body: dict[str, Any], effort: str | None) -> str | None:
    switch = body.get("thinking")
    if switch is not None and (set(switch) != {"type"} or switch["type"] not in ("enabled", "disabled", "auto")):
        return "The parameter thinking.type specified in the request is not valid"
    if switch == {"type": "disabled"} and effort not in (None, "none", "minimal"):
        return "The parameter reasoning_effort specified in the request is not valid: thinking is disabled"
    return None
