"""Exact words that no summary may lose: lines with paths, ids, numbers and addresses in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from autohands.protocols.messages import Message, Text, ToolCall, ToolReturn

MOST_FACTS = 400
LONGEST_FACT = 240
SHORT_RESULT = 1_200
LINES_OF_SHORT, LINES_OF_LONG = 8, 3
LONGEST_ARGUMENT = 200
CUT = "read_result shows"
"""What remains of a long result says so, and is not short."""
LEDGER = ("path", "file", "source", "destination", "command")
"""Arguments that the working set keeps anyway."""
LONGEST_SAID = 20_000

_IDENTIFIER = (
    r"https?://[^\s<>\"')\]]+"  # addresses
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|(?:[\w.@~+-]*/)+[\w.@+-]*[A-Za-z][\w.@+-]*"  # paths
    r"|\b[\w-]{2,}\.[A-Za-z]\w{0,5}\b"  # names of files, dotted names
    r"|\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])\w[\w-]{2,}\b"  # ids: letters and digits
    r"|\b\d{3,}\b|\b\d+(?:[.,:-]\d+)+\b|\b\d+\s?(?:%|[kKMG]?B\b|ms\b|s\b|USD\b|EUR\b)"  # numbers, but small ones
)
_BLOB = r"\S{300,}"  # encoded data: nothing to remember, and slow to look through
_CLAUSE_END = r"(?<=[.!?;])\s+|\n+"
_TROUBLE = r"(?i)error|fail|exception|fatal|denied|warning"


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """A line as it was said, and by whom: the model, or a tool."""

    text: str
    source: Literal["said", "tool"] = "said"


def identifiers(text: str) -> set[str]:
    """The exact things in a text: paths, ids, numbers, addresses."""
    return {found.rstrip(".,:;") for found in re.findall(_IDENTIFIER, re.sub(_BLOB, " ", text))}


def find_facts(messages: Iterable[Message]) -> Iterator[Fact]:
    """The lines with exact things in them that were said, passed to tools, or read in short results."""
    for message in messages:
        for part in message.parts:
            if isinstance(part, Text):
                yield from (Fact(clause) for clause in _clauses(part.text[:LONGEST_SAID]))
            elif isinstance(part, ToolCall):
                yield from _of_call(part)
            elif isinstance(part, ToolReturn):
                yield from _of_result(part.text)


def merged(known: Sequence[Fact], found: Iterable[Fact]) -> tuple[Fact, ...]:
    """Both, each line once; where they are too many, the oldest of what tools said go first."""
    facts = list({fact.text: fact for fact in (*known, *found)}.values())
    surplus = max(len(facts) - MOST_FACTS, 0)
    expendable = sorted(facts, key=lambda fact: fact.source == "said")[:surplus]  # stable: the oldest first
    gone = {fact.text for fact in expendable}
    return tuple(fact for fact in facts if fact.text not in gone)


def missing(facts: Iterable[Fact], text: str) -> list[Fact]:
    """The facts of which something exact is not in a text."""
    return [fact for fact in facts if any(each not in text for each in identifiers(fact.text))]


def _clauses(text: str) -> Iterator[str]:
    for clause in re.split(_CLAUSE_END, re.sub(_BLOB, " ", text)):
        line = " ".join(clause.split())
        if (found := re.search(_IDENTIFIER, line)) is not None:
            start = max(0, min(found.start() - LONGEST_FACT // 2, len(line) - LONGEST_FACT))
            yield line[start : start + LONGEST_FACT]


def _of_call(call: ToolCall) -> Iterator[Fact]:
    for name, value in call.arguments.items():
        if name in LEDGER:
            continue
        if isinstance(value, str | int | float) and len(text := str(value)) <= LONGEST_ARGUMENT and identifiers(text):
            yield Fact(f"{call.name} {name}: {' '.join(text.split())}")


def _of_result(text: str) -> Iterator[Fact]:
    if len(text) <= SHORT_RESULT and CUT not in text:
        yield from (Fact(line, "tool") for line in list(_clauses(text))[:LINES_OF_SHORT])
        return
    lines = [line for line in text.splitlines() if re.search(_TROUBLE, line)]
    yield from (Fact(" ".join(line.split())[:LONGEST_FACT], "tool") for line in lines[:LINES_OF_LONG])
