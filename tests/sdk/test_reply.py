"""The assembler of replies: order, ids, caps, and what models get wrong."""

import msgspec
import pytest

from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Reply, Text, Thinking, ToolCall, Usage
from autohands.protocols.provider import TextPiece, ThinkingPiece
from autohands.sdk.reply import MOST_BLOCKS, TEXT_CHARACTERS, ReplyAssembler, clean, tokens


def assembled(*calls: tuple[str | None, str | None, str]) -> Reply:
    """A reply of calls, each of id, name and arguments."""
    reply = ReplyAssembler()
    for key, (call_id, name, arguments) in enumerate(calls):
        reply.call(key, id=call_id, name=name)
        reply.arguments(arguments, key)
    reply.stop = "tool_calls"
    return reply.finish()


def test_parts_keep_the_place_of_their_first_piece() -> None:
    reply = ReplyAssembler(vendor="v")
    assert reply.thinking("Hm", 0) == (ThinkingPiece("Hm"),)
    assert reply.text("A", 1) == (TextPiece("A"),)
    reply.call(2, id="c", name="f")
    reply.sign(0, signature="sig")
    reply.arguments('{"a"', 2)
    reply.text("B", 1)
    reply.arguments(": 1}", 2)
    reply.stop = "tool_calls"
    assert reply.finish().message.parts == (Thinking("Hm", "v", "sig"), Text("AB"), ToolCall("c", "f", {"a": 1}))


def test_pr02_empty_deltas_are_no_progress() -> None:
    reply = ReplyAssembler()
    reply.began("m")
    before = reply.progress
    reply.began("m")
    assert reply.text("") == reply.thinking("") == ()
    reply.arguments("", 0)
    assert reply.progress == before
    reply.call(0, id="a", name="f")
    again = reply.progress
    reply.call(0, id="a", name="f")
    assert reply.progress == again > before
    reply.text("x")
    assert reply.progress > again


@pytest.mark.parametrize(
    ("stop", "calls", "expected"),
    [
        ("end", True, "tool_calls"),
        ("unknown", True, "tool_calls"),
        ("tool_calls", False, "end"),
        ("length", True, "length"),
        ("end", False, "end"),
        (None, False, "unknown"),
    ],
)
def test_the_stop_reason_fits_what_was_said(stop: str | None, calls: bool, expected: str) -> None:
    reply = ReplyAssembler()
    reply.stop = stop  # type: ignore[assignment]
    if calls:
        reply.call(0, id="c", name="f")
        reply.arguments("{}", 0)
    assert reply.finish().stop == expected


def test_pr08_a_call_that_cannot_be_read_is_kept_empty_and_marked() -> None:
    (call,) = assembled(("c1", "f", '{"a": ')).tool_calls
    assert (call.id, call.name, call.arguments) == ("c1", "f", {})
    assert call.invalid


def test_pr08_ten_megabytes_of_arguments_are_refused_and_not_kept() -> None:
    reply = ReplyAssembler()
    reply.call(0, id="c", name="f")
    for _ in range(40):
        reply.arguments("x" * 1_000_000, 0)
    reply.stop = "tool_calls"
    (call,) = reply.finish().tool_calls
    assert "larger than" in (call.invalid or "")


def test_pr08_only_vendors_that_send_nothing_for_none_may_send_nothing() -> None:
    for bare, stop, invalid in ((True, "tool_calls", False), (True, "length", True), (False, "tool_calls", True)):
        reply = ReplyAssembler()
        reply.call(0, id="c", name="f", bare=bare)
        reply.stop = stop  # type: ignore[assignment]
        (call,) = reply.finish().tool_calls
        assert (call.invalid is not None) is invalid


def test_pr09_the_same_call_twice_is_one_call() -> None:
    assert len(assembled(("c", "f", '{"a":1}'), ("c", "f", '{"a": 1}')).tool_calls) == 1


def test_pr09_another_call_with_a_used_id_does_not_run() -> None:
    first, second = assembled(("c", "f", "{}"), ("c", "g", "{}")).tool_calls
    assert (first.id, first.invalid) == ("c", None)
    assert second.id != "c"
    assert "used twice" in (second.invalid or "")


def test_pr09_a_call_without_an_id_gets_one() -> None:
    first, second = assembled((None, "f", "{}"), ("", "f", "{}")).tool_calls
    assert first.id.startswith("call_")
    assert first.id != second.id
    assert first.invalid is None


@pytest.mark.parametrize("id", ["functions.f:0", "x" * 95, "ü", "a b", "\ud800"])
def test_pr09_an_id_that_another_vendor_refuses_is_replaced_the_same_way_each_time(id: str) -> None:
    ones, others = assembled((id, "f", "{}")).tool_calls, assembled((id, "f", "{}")).tool_calls
    assert ones == others
    assert ones[0].id.isascii()
    assert len(ones[0].id) <= 40


@pytest.mark.parametrize("name", ["", None, "read file!", "x" * 65, "\ud800", "a.b"])
def test_pr09_what_is_no_tools_name_does_not_run_and_can_be_sent_back(name: str | None) -> None:
    (call,) = assembled(("c", name, "{}")).tool_calls
    assert call.invalid
    assert call.name.isascii()
    assert 0 < len(call.name) <= 64
    assert msgspec.json.encode(call)


def test_pr09_two_hundred_calls_are_two_hundred_calls() -> None:
    assert len(assembled(*((f"c{n}", "f", "{}") for n in range(200))).tool_calls) == 200


def test_calls_without_end_are_an_error() -> None:
    with pytest.raises(ProviderError, match=f"more than {MOST_BLOCKS} parts"):
        assembled(*((f"c{n}", "f", "{}") for n in range(MOST_BLOCKS + 1)))


def test_pr12_nul_and_lone_surrogates_reach_nobody() -> None:
    reply = ReplyAssembler(vendor="v")
    assert reply.text("a\0b") == (TextPiece("ab"),)
    assert reply.text("\0") == ()
    assert reply.text("x\ud800y") == (TextPiece("x�y"),)
    reply.thinking("t\udfff")
    reply.sign(signature="s\ud800", opaque="o\ud800", id="i\ud800")
    reply.stop = "end"
    assert msgspec.json.encode(reply.finish())


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert clean("\ud83d\ude42") == "🙂"


def test_pr12_a_text_past_every_measure_ends_the_answer() -> None:
    reply = ReplyAssembler()
    for _ in range(TEXT_CHARACTERS // 1_000_000 + 3):
        reply.text("x" * 1_000_000)
    assert reply.done
    assert reply.stop == "length"
    assert len(reply.finish().message.text) <= TEXT_CHARACTERS + 1_000_000


def test_pr12_an_empty_answer_is_a_reply_without_parts() -> None:
    reply = ReplyAssembler()
    reply.stop = "end"
    assert reply.finish().message.parts == ()
    only = ReplyAssembler()
    only.thinking("hm")
    only.stop = "end"
    assert only.finish().message.text == ""


def test_pr12_absurd_usage_is_brought_to_reason() -> None:
    assert (tokens(None), tokens(-5), tokens(10**15), tokens(7)) == (0, 0, 1_000_000_000, 7)


def test_usage_is_estimated_where_the_vendor_gives_none() -> None:
    reply = ReplyAssembler(prompt_bytes=400)
    reply.text("12345")
    reply.call(1, id="c", name="f")
    reply.arguments("{}", 1)
    reply.stop = "end"
    assert reply.finish().usage == Usage(input=100, output=2, estimated=True)
    reply.usage = Usage(input=1, output=1)
    assert reply.finish().usage == Usage(input=1, output=1)
