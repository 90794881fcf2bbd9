"""A conversation as a file: JSON lines with all that is recorded, or Markdown to be read; and why its cache missed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from autohands.bridge import decode_event
from autohands.cli.listing import when
from autohands.hands import Hands
from autohands.protocols.events import CacheMissed, Compacted
from autohands.protocols.messages import Message, Reply, Text, Thinking, ToolCall
from autohands.protocols.records import SessionRecord, Step, Word
from autohands.protocols.task import TaskRecord
from autohands.protocols.tool import ToolResult

MOST_TASKS = 100_000
PAGE = 1_000
_TOLD = (b'"cache.missed"', b'"compacted"')
_REPLY = msgspec.json.Decoder(Reply)
_RESULT = msgspec.json.Decoder(ToolResult)
_MESSAGES = msgspec.json.Decoder(tuple[Message, ...])
_JSON = msgspec.json.Encoder()


class Part(msgspec.Struct, frozen=True):
    """A task of a session with all that is recorded of it."""

    record: TaskRecord
    steps: list[Step]
    words: list[Word]


async def parts(hands: Hands, session: str) -> AsyncIterator[Part]:
    """A session's tasks, oldest first."""
    for record in reversed(await hands.storage.tasks(session=session, limit=MOST_TASKS)):
        yield Part(record, await hands.storage.steps(record.id), await hands.storage.words(record.id))


async def explained(hands: Hands, tasks: list[str]) -> list[dict[str, Any]]:
    """The cache misses and compactions of some tasks, in the order in which they happened."""
    found: list[dict[str, Any]] = []
    for task in tasks:
        after = 0
        while page := await hands.journal.events(task, after, PAGE):
            events = [decode_event(data) for data in page if any(name in data for name in _TOLD)]
            found += [msgspec.to_builtins(each) for each in events if isinstance(each, CacheMissed | Compacted)]
            after += len(page)
    return found


def told(event: dict[str, Any]) -> str:
    """A cache miss or a compaction in one line."""
    if event["type"] == "compacted":
        return f"turn {event['turn']}: shortened from {event['tokens_before']:,} to {event['tokens_after']:,} tokens"
    lost = max(event["expected_tokens"] - event["cached_tokens"], 0)
    price = "" if event.get("micro_usd") is None else f", {event['micro_usd'] / 1e6:.4f} USD"
    return f"turn {event['turn']}: cache missed at {event['segment']} ({event['why']}); {lost:,} tokens{price}"


def json_lines(session: SessionRecord, part: Part | None = None) -> Iterator[bytes]:
    """The lines of a session, or of one of its tasks: `session`, `task`, `word`, `step`, with outputs as JSON."""
    if part is None:
        yield _JSON.encode({"type": "session", **msgspec.to_builtins(session)})
        return
    task = part.record
    yield _JSON.encode({"type": "task", **msgspec.to_builtins(task)})
    for word in part.words:
        yield _JSON.encode({"type": "word", "task": task.id, **msgspec.to_builtins(word)})
    for step in part.steps:
        fields = msgspec.structs.asdict(step) | {"output": msgspec.Raw(step.output or b"null")}
        fields["input_hash"] = None if step.input_hash is None else step.input_hash.hex()
        yield _JSON.encode({"type": "step", "task": task.id, **fields})


def markdown(session: SessionRecord, part: Part | None = None) -> Iterator[str]:
    """The paragraphs of a session's head, or of one of its tasks."""
    if part is None:
        yield f"# {session.title or session.name}"
        yield f"Session `{session.id}`, {session.workspace or 'no workspace'}, begun {when(session.created)}"
        return
    yield f"## {part.record.id}: {part.record.state}"
    for step in sorted(part.steps, key=lambda each: (each.turn, each.index)):
        if step.index == 0:
            yield from (
                f"**You, before turn {step.turn}:** {word.text}" for word in part.words if word.turn == step.turn
            )
        yield from _paragraphs(step)
    if part.record.error:
        yield f"**Ended:** {part.record.error}"


def _paragraphs(step: Step) -> Iterator[str]:
    if step.output is None:
        yield f"*{step.kind} {step.name}: {step.status}*"
    elif step.kind == "opening":
        yield from (f"**You:** {_words(message)}" for message in _MESSAGES.decode(step.output))
    elif step.kind == "model":
        yield from _said(_REPLY.decode(step.output).message)
    elif step.kind == "tool":
        result = _RESULT.decode(step.output)
        yield f"{'Failed' if result.failed else 'Result'} of `{step.name}`:\n\n{_fenced(result.text)}"
    else:
        yield f"*The history was {step.name} here, for the model.*"


def _said(message: Message) -> Iterator[str]:
    for part in message.parts:
        if isinstance(part, Text):
            yield part.text
        elif isinstance(part, Thinking) and part.text:
            yield "\n".join(f"> {line}" for line in part.text.splitlines())
        elif isinstance(part, ToolCall):
            yield f"Call of `{part.name}`:\n\n{_fenced(_JSON.encode(part.arguments).decode(), 'json')}"


def _words(message: Message) -> str:
    return "\n\n".join(part.text for part in message.parts if isinstance(part, Text))


def _fenced(text: str, language: str = "") -> str:
    """Text in a fence that it cannot end itself."""
    longest = max((len(line) - len(line.lstrip("`")) for line in map(str.lstrip, text.splitlines())), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
