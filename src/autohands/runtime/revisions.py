"""What is changed in a history after it was said; recorded before the model is asked, so that a fold makes the same
bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from autohands.protocols.messages import Message, Part, Text, ToolReturn
from autohands.protocols.records import Step
from autohands.runtime.facts import Fact


class Summed(msgspec.Struct, frozen=True, tag="summed"):
    """The first `until` messages gave way to one of `text`; `facts` are the exact words that are to outlive it."""

    until: int
    text: str
    facts: tuple[Fact, ...] = ()


class Trimmed(msgspec.Struct, frozen=True, tag="trimmed"):
    """The results of some calls gave way to shorter texts, by call id."""

    texts: dict[str, str]


class Noted(msgspec.Struct, frozen=True, tag="noted"):
    """What has changed around the conversation is said at its end."""

    text: str


Revision: TypeAlias = Summed | Trimmed | Noted
_DECODER: msgspec.json.Decoder[Revision] = msgspec.json.Decoder(Revision)


def read_revisions(steps: Iterable[Step]) -> dict[int, list[Revision]]:
    """The recorded changes of a task's history, by the turn before which they were made, in order."""
    revisions: dict[int, list[Revision]] = {}
    for step in sorted(steps, key=lambda each: (each.turn, -each.index)):
        if step.kind == "context" and step.output:
            revisions.setdefault(step.turn, []).append(_DECODER.decode(step.output))
    return revisions


def revised(messages: Sequence[Message], revision: Revision) -> list[Message]:
    """The messages as they stand after a change; those it does not touch are the same objects."""
    if isinstance(revision, Summed):
        return [Message("user", (Text(revision.text),)), *messages[revision.until :]]
    if isinstance(revision, Noted):
        return [*messages, Message("user", (Text(revision.text),))]
    return [_trimmed(message, revision.texts) for message in messages]


def _trimmed(message: Message, texts: Mapping[str, str]) -> Message:
    if message.role != "tool" or not any(
        isinstance(part, ToolReturn) and part.call_id in texts for part in message.parts
    ):
        return message
    return replace(message, parts=tuple(_shorter(part, texts) for part in message.parts))


def _shorter(part: Part, texts: Mapping[str, str]) -> Part:
    if isinstance(part, ToolReturn) and part.call_id in texts:
        return replace(part, text=texts[part.call_id], images=())
    return part
