"""Requests are compared by segments: what changed is named, what stands is not."""

import pytest
from msgspec.structs import replace

from autohands.protocols.messages import Message, Text, Usage, user
from autohands.protocols.provider import ModelInfo, Request, ToolSchema
from autohands.protocols.records import Step
from autohands.runtime.prefix import Prefix, Sent, compare, price_of_miss, unexplained

READ = ToolSchema("read", "Read.", {"type": "object"})
REQUEST = Request(model="m", system="s", messages=(user("one"), user("two")), tools=(READ,))
PRICED = ModelInfo(name="m", input_price=1_000_000, cache_read_price=100_000)


def measured(*requests: Request) -> tuple[Prefix, list[Sent]]:
    prefix = Prefix()
    return prefix, [prefix.measure(request) for request in requests]


@pytest.mark.parametrize(
    ("change", "segment"),
    [
        ({"model": "n"}, "model"),
        ({"system": "t"}, "system"),
        ({"tools": ()}, "tools"),
        ({"tools": (READ, replace(READ, name="write"))}, "tools"),
        ({"messages": (user("one"),)}, "history"),
        ({"messages": (user("one"), user("zwei"), user("three"))}, "history"),
    ],
)
def test_what_changed_is_named(change: dict[str, object], segment: str) -> None:
    prefix, (before, now) = measured(REQUEST, replace(REQUEST, **change))
    miss = compare(before, now, prefix, "")
    assert miss is not None
    assert miss.segment == segment


def test_what_only_grows_stands() -> None:
    longer = replace(REQUEST, messages=(*REQUEST.messages, Message("assistant", (Text("x"),))))
    prefix, (before, now) = measured(REQUEST, longer)
    assert compare(before, now, prefix, "") is None
    equal, _ = measured(replace(longer, messages=tuple(replace(message) for message in longer.messages)))
    assert compare(before, now, equal, "") is None


def test_tools_are_named_that_came_went_or_changed() -> None:
    prefix, _ = measured(REQUEST, replace(REQUEST, tools=(replace(READ, description="R."), replace(READ, name="new"))))
    assert prefix.tools_changed == "came: new; changed: read"


def test_a_step_keeps_what_was_sent() -> None:
    _, (sent,) = measured(REQUEST)
    assert len(sent.packed) == 32
    step = Step(turn=1, index=0, kind="model", name="m", status="done", input_hash=sent.packed, usage=Usage(7), ended=9)
    assert Sent.read(step) == replace(sent, tokens=7, at=9)
    assert Sent.read(replace(step, input_hash=None)) is None


@pytest.mark.parametrize(
    ("usage", "idle_ms", "why"),
    [
        (Usage(9_000, cache_read=8_000), 0, None),
        (Usage(9_000, cache_read=0), 1_000, "dropped"),
        (Usage(9_000, cache_read=0), 600_000, "10 minutes"),
        (Usage(9_000, cache_read=0, estimated=True), 0, None),
    ],
)
def test_a_miss_of_the_service_is_told_by_its_own_count(usage: Usage, idle_ms: int, why: str | None) -> None:
    _, (sent,) = measured(REQUEST)
    miss = unexplained(replace(sent, tokens=8_000, at=0), usage, PRICED, idle_ms)
    assert (miss is None) if why is None else (miss is not None and why in miss.why)


def test_a_service_that_counts_no_cache_and_a_short_prompt_miss_nothing() -> None:
    _, (sent,) = measured(REQUEST)
    assert unexplained(replace(sent, tokens=8_000), Usage(9_000), ModelInfo(name="m"), 0) is None
    assert unexplained(replace(sent, tokens=800), Usage(900), PRICED, 0) is None


def test_the_price_is_the_difference() -> None:
    assert price_of_miss(PRICED, 10) == 9
    assert price_of_miss(ModelInfo(name="m"), 10) is None
