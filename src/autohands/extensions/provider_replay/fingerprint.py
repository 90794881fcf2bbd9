"""What of a request a recording holds it to: what was said since the model spoke last, without what varies by machine.

The system prompt and the tools' schemas are left out, so that rewording them breaks no recording. Of texts, absolute
paths keep only their last part; times, durations, ids, process numbers and addresses become a word in angle brackets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from autohands.protocols.messages import Message, Part, Text, ToolCall, ToolReturn
from autohands.protocols.provider import Request

KEPT_CHARACTERS = 8_000
SHOWN_LINES = 16
SHOWN_CHARACTERS = 200

_JSON = msgspec.json.Encoder(order="deterministic")
_ENVIRONMENT = r"(?s)\s*<environment>.*</environment>\s*"
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_VARYING = [
    (r"\b(?:[a-z]{2,8}_)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
    (rf"\b(?:{_MONTHS})\s+\d{{1,2}}\s+(?:\d\d:\d\d|\d{{4}})\b", "<time>"),
    (r"(?<![\w.:/])(?:/[\w.@+~-]+)+/([\w.@+~-]+)", r"<path>/\1"),
    (r"\b\d+(?:\.\d+)?\s?(?:ms|µs|s|sec|secs|seconds?|minutes?)\b", "<duration>"),
    (r"\b(pid|PID|process)(\s*[:=#]?\s*)\d+", r"\1\2<pid>"),
    (r"\b0x[0-9a-fA-F]{6,}\b", "<address>"),
    (r"\bPython \d+\.\d+(?:\.\d+\S*)?", "Python <version>"),
]


class Asked(Struct, frozen=True):
    """A request as a recording knows it: how often the model has spoken, and what was said since, one line each."""

    turn: int
    said: tuple[str, ...]


def fingerprint(request: Request) -> Asked:
    """What a recording holds a request to."""
    messages = request.messages
    spoken = [index for index, message in enumerate(messages) if message.role == "assistant"]
    tail = messages[spoken[-1] :] if spoken else messages
    return Asked(len(spoken), tuple(line for message in tail for line in _lines(message)))


def normal(text: str) -> str:
    """Text without what varies from one machine and one run to the next; a long one is cut and its rest hashed."""
    text = "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).strip("\n")
    for pattern, word in _VARYING:
        text = re.sub(pattern, word, text)
    if len(text) <= KEPT_CHARACTERS:
        return text
    import hashlib

    rest = hashlib.sha256(text[KEPT_CHARACTERS:].encode("utf-8", "replace")).hexdigest()
    return f"{text[:KEPT_CHARACTERS]}\n[and {len(text) - KEPT_CHARACTERS} characters more, sha256 {rest}]"


def difference(expected: Asked, got: Asked) -> str:
    """Where two requests of a turn part, for a person's eyes."""
    for place, (old, new) in enumerate(zip(expected.said, got.said, strict=False), start=1):
        if old != new:
            return f"turn {got.turn + 1}, part {place}:\n{_diff(old, new)}"
    longer, word = (expected, "missing") if len(expected.said) > len(got.said) else (got, "not recorded")
    place = min(len(expected.said), len(got.said))
    return f"turn {got.turn + 1}, part {place + 1} is {word}: {longer.said[place][:SHOWN_CHARACTERS]}"


def _diff(old: str, new: str) -> str:
    import difflib

    lines = difflib.unified_diff(old.split("\n"), new.split("\n"), "recorded", "now", lineterm="", n=1)
    shown = [line[:SHOWN_CHARACTERS] for line in lines]
    rest = [f"… and {len(shown) - SHOWN_LINES} lines more"] if len(shown) > SHOWN_LINES else []
    return "\n".join([*shown[:SHOWN_LINES], *rest])


def _lines(message: Message) -> Sequence[str]:
    return [line for part in message.parts if (line := _line(message.role, part)) is not None]


def _line(role: str, part: Part) -> str | None:
    match part:
        case Text(text) if role == "user" and not re.fullmatch(_ENVIRONMENT, text):
            return f"user: {normal(text)}"
        case ToolCall(name=name, arguments=arguments):
            return f"call: {name} {normal(_JSON.encode(arguments).decode())}"
        case ToolReturn(text=text, failed=failed, images=images):
            shown = f" [{len(images)} images]" if images else ""
            return f"{'failure' if failed else 'result'}: {normal(text)}{shown}"
    return None
