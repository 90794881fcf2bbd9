"""What a model is to say, written once for every kind of fake: the scripted provider and the fake services."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autohands.protocols.messages import Message, Part, Reply, StopReason, Text, Thinking, ToolCall, Usage


class ScriptedCall(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A tool call. Arguments as a string go out as they are, however wrong; without an `id` one is made."""

    name: str
    arguments: dict[str, Any] | str = msgspec.field(default_factory=dict)
    id: str | None = None


class Turn(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One reply. `faults` are what happens to the first attempts (names from `chaos`), before one succeeds.

    Text goes out in pieces of a word, `pause_seconds` apart.
    """

    text: str = ""
    thinking: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    stop: StopReason | None = None
    usage: Usage | None = None
    faults: tuple[str, ...] = ()
    pause_seconds: float = 0.0


def say(text: str, *, thinking: str = "") -> Turn:
    """A reply of text."""
    return Turn(text=text, thinking=thinking)


def call(name: str, /, *, says: str = "", **arguments: Any) -> Turn:
    """A reply with one tool call."""
    return Turn(text=says, calls=(ScriptedCall(name, arguments),))


def calls(*each: ScriptedCall, says: str = "") -> Turn:
    """A reply with several tool calls."""
    return Turn(text=says, calls=each)


def to_reply(turn: Turn, number: int) -> Reply:
    """The reply that a turn means, as a faultless provider would give it; `number` makes its calls' ids unique."""
    parts: list[Part] = []
    if turn.thinking:
        parts.append(Thinking(turn.thinking))
    if turn.text:
        parts.append(Text(turn.text))
    for index, each in enumerate(turn.calls):
        call_id = id_of(each, number, index)
        if isinstance(each.arguments, str):
            parts.append(ToolCall(call_id, each.name, {}, f"the arguments are not valid JSON: {each.arguments[:80]}"))
        else:
            parts.append(ToolCall(call_id, each.name, each.arguments))
    stop: StopReason = turn.stop or ("tool_calls" if turn.calls else "end")
    usage = turn.usage or Usage(input=100, output=max(len(turn.text) // 4, 1))
    return Reply(Message("assistant", tuple(parts)), stop, usage)


def id_of(each: ScriptedCall, number: int, index: int) -> str:
    """The id of a call: the script's, or one made of the places of the turn and of the call in it."""
    return f"call_{number}_{index}" if each.id is None else each.id


def words(text: str) -> list[str]:
    """Text in pieces of a word with the space after it, as models stream it."""
    return re.findall(r"\S+\s*|\s+", text)


def read_script(file: Path) -> list[Turn]:
    """The turns of a JSON file: a list of objects with the fields of `Turn`."""
    return msgspec.json.decode(file.read_bytes(), type=list[Turn])


def write_script(file: Path, turns: Iterable[Turn]) -> None:
    """Write turns so that `read_script`, in whatever process, gives them back."""
    file.write_bytes(msgspec.json.encode(list(turns)))
