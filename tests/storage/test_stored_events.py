"""Events as rows and as JSON: the envelope first, bodies stored once, replies and results spliced in."""

import json
from typing import Any

import pytest

from autohands.protocols.events import (
    ReplyFinished,
    Reset,
    TaskQueued,
    TextDelta,
    ToolFinished,
    ToolOutput,
    ToolStarted,
    TurnStarted,
)
from autohands.protocols.messages import Message, Text, ToolCall, Usage
from autohands.protocols.tool import ToolResult
from autohands.storage.events import keep, origin_of, pass_on

NASTY = ',"task":"","session":"","at":0}'
CALL = ToolCall("c", "t", {"a": 1, "task": "", "session": "", "at": 0, "text": NASTY})


def kept(event: Any, output: bytes | None = None) -> dict[str, Any]:
    entry = keep(event, origin_of("task_1", "ses_1"), 7)
    entry.seq, entry.output = 3, output
    decoded: dict[str, Any] = json.loads(entry.json())
    return decoded


@pytest.mark.parametrize(
    ("event", "own"),
    [
        (TaskQueued(prompt=NASTY, source="api"), {"prompt": NASTY, "source": "api"}),
        (TurnStarted(turn=2, task="wrong", session="wrong", at=1, seq=9), {"turn": 2}),
        (
            ToolStarted(turn=1, index=1, call=CALL, effect="read", task="other"),
            {"turn": 1, "index": 1, "call": {"type": "tool_call", "id": "c", "name": "t", "arguments": CALL.arguments}}
            | {"effect": "read"},
        ),
    ],
)
def test_the_envelope_is_put_before_the_body(event: Any, own: dict[str, Any]) -> None:
    found = kept(event)
    assert list(found)[:5] == ["type", "task", "session", "at", "seq"]
    assert (found["task"], found["session"], found["at"], found["seq"]) == ("task_1", "ses_1", 7, 3)
    assert {name: value for name, value in found.items() if name not in list(found)[:5]} == own


def test_a_reply_is_spliced_in_from_its_step() -> None:
    event = ReplyFinished(turn=1, stop="end", usage=Usage(1, 2))
    found = kept(event, b'{"stop":"end","message":{"role":"assistant","parts":[]},"model":"m"}')
    assert found["message"] == {"role": "assistant", "parts": []}
    assert "model" not in found
    assert "message" not in kept(event)
    whole = ReplyFinished(turn=1, stop="end", usage=Usage(), message=Message("assistant", (Text("own"),)))
    assert kept(whole)["message"]["parts"][0]["text"] == "own"


def test_a_result_is_spliced_in_from_its_step() -> None:
    event = ToolFinished(turn=1, index=2, call_id="c", name="t", status="done")
    assert kept(event, b'{"text":"out"}')["result"] == {"text": "out"}
    entry = keep(event, b"", 0)
    assert (entry.turn, entry.index) == (1, 2)
    own = keep(ToolFinished(turn=1, index=2, call_id="c", name="t", status="done", result=ToolResult("own")), b"", 0)
    assert (own.turn, own.index) == (None, None)


@pytest.mark.parametrize(
    "delta", [TextDelta(text=NASTY, turn=1, offset=5, after=4), ToolOutput(turn=1, index=2, text="é\x00"), Reset()]
)
def test_a_delta_has_its_own_envelope(delta: Any) -> None:
    passing = pass_on(delta, origin_of("task_1", "ses_1"), 7, attempt=2, offset=11)
    passing.after = 3
    found = json.loads(passing.json())
    assert list(found)[:7] == ["type", "task", "session", "at", "after", "attempt", "offset"]
    assert [found[name] for name in list(found)[3:7]] == [7, 3, 2, 11]
    assert found.get("text") == getattr(delta, "text", None)
