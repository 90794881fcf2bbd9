"""Recorded streams of the Gemini API, read whole, cut at every byte offset, with other line ends, and broken off."""

import itertools
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from autohands.extensions.provider_gemini.reading import Reading
from autohands.extensions.provider_gemini.wire import MADE_ID
from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.messages import Message, Part, Reply, Text, Thinking, ToolCall, Usage
from autohands.protocols.provider import Delta, TextPiece, ThinkingPiece
from autohands.sdk.faults import Service, from_code
from autohands.sdk.reply import ReplyAssembler
from autohands.sdk.sse import EventParser
from wire.vendor_streams import reply, thought

STREAMS = Path(__file__).parent / "gemini_streams"
FLASH = "gemini-3.8-flash"
UNREADABLE = "the arguments are not valid JSON: "


def made(number: int) -> str:
    """What stands here for the n-th id that was made up."""
    return f"gmade_{number}"


EXPECTED = {
    "text": reply(FLASH, "end", Usage(input=19, output=10, cache_read=8), Text("Hello, Zoë 🙂!")),
    "thinking": reply(
        FLASH,
        "end",
        Usage(input=40, output=34, thinking=30),
        thought("**Looking**\nIt is Paris."),
        Text("In Paris."),
        thought("", opaque="EjQKMgG+Pvb7textsignature=="),
    ),
    "signed_text": reply(
        FLASH,
        "end",
        Usage(input=7, output=4),
        Text("One, "),
        thought("", opaque="c2lnbmVk", id="text"),
        Text("two"),
        Text(", three."),
    ),
    "signed_thought": reply(
        FLASH,
        "end",
        Usage(input=7, output=4, thinking=3),
        thought("Hm."),
        thought("", signature="dGhvdWdodA=="),
        Text("Yes."),
    ),
    "parallel_calls": reply(
        FLASH,
        "tool_calls",
        Usage(input=82, output=54, thinking=20),
        thought("Two places."),
        thought("", opaque="EtYCCtMCAb4+9vtC==", id="functionCall"),
        ToolCall("8f2b1a3c", "get_weather", {"location": "Paríś", "days": 2}),
        ToolCall("8f2b1a3d", "get_time", {}),
    ),
    "calls_without_ids": reply(
        "gemini-2.5-flash",
        "tool_calls",
        Usage(input=9, output=7),
        Text("I look."),
        ToolCall(made(0), "glob", {"pattern": "*"}),
        ToolCall(made(1), "list_all", {}),
    ),
    "cut_short": reply(FLASH, "length", Usage(input=5, output=16), Text("One two")),
    "malformed_call": reply(
        FLASH,
        "tool_calls",
        Usage(input=5, output=8, thinking=8),
        thought("", opaque="bm8gdGV4dA=="),
        ToolCall(made(0), "write_file", {}, f"{UNREADABLE}invalid character (byte 1)"),
    ),
    "malformed_after_call": reply(
        FLASH,
        "tool_calls",
        Usage(input=5, output=4),
        thought("", opaque="Z2xvYg==", id="functionCall"),
        ToolCall("a1", "glob", {}, f"{UNREADABLE}trailing characters (byte 4)"),
    ),
    "safety": reply(FLASH, "refusal", Usage(input=25, output=1), Text("Take ")),
    "recitation": reply(FLASH, "refusal", Usage(input=25)),
    "other": reply(FLASH, "unknown", Usage(input=3, output=1), Text("Well")),
}
NAMES = sorted(EXPECTED)


def read(name: str) -> bytes:
    return (STREAMS / f"{name}.sse").read_bytes()


def play(chunks: Iterable[bytes], names: dict[str, str] | None = None) -> tuple[list[Delta], ReplyAssembler]:
    """The deltas of a stream that came in these chunks, and the assembler as they left it."""
    parser, assembler, reading = EventParser(), ReplyAssembler(vendor="vendor"), Reading(names)
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return [delta for event in events for delta in reading.decode(event.data, assembler)], assembler


def finished(assembler: ReplyAssembler) -> Reply:
    """The reply, the ids that were made up replaced by numbers."""
    said, numbers = assembler.finish(), itertools.count()

    def plain(part: Part) -> Part:
        known = not (isinstance(part, ToolCall) and MADE_ID.fullmatch(part.id))
        return part if known else structs.replace(part, id=made(next(numbers)))

    parts = tuple(map(plain, said.message.parts))
    return structs.replace(said, message=structs.replace(said.message, parts=parts))


def test_every_recorded_stream_is_expected_to_be_something() -> None:
    assert sorted(path.stem for path in STREAMS.glob("*.sse")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_read_as_its_vendor_means_it(name: str) -> None:
    deltas, assembler = play([read(name)])
    said = finished(assembler)
    assert said == EXPECTED[name]
    told = "".join(delta.text for delta in deltas if isinstance(delta, TextPiece))
    mused = "".join(delta.text for delta in deltas if isinstance(delta, ThinkingPiece))
    assert told == "".join(part.text for part in said.message.parts if isinstance(part, Text))
    assert mused == "".join(part.text for part in said.message.parts if isinstance(part, Thinking))


@pytest.mark.parametrize("name", NAMES)
def test_pr03_a_cut_at_any_byte_changes_nothing(name: str) -> None:
    data = read(name)
    for offset in range(1, len(data)):
        assert finished(play([data[:offset], data[offset:]])[1]) == EXPECTED[name], offset


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_pr03_single_bytes_and_other_line_ends_change_nothing(name: str, line_end: bytes) -> None:
    data = b"\xef\xbb\xbf" + read(name).replace(b"\n", line_end)
    assert finished(play([data[at : at + 1] for at in range(len(data))])[1]) == EXPECTED[name]
    assert finished(play([data])[1]) == EXPECTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_pr03_no_space_comments_and_mixed_line_ends_change_nothing(name: str) -> None:
    draw = random.Random(name)
    events = read(name).replace(b"data: ", b"data:").split(b"\n\n")
    mixed = [(b": ping\n\n" + event + b"\n\n").replace(b"\n", draw.choice([b"\n", b"\r\n", b"\r"])) for event in events]
    assert finished(play([b"".join(mixed)])[1]) == EXPECTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_pr03_a_stream_that_breaks_off_is_never_taken_for_another_answer(name: str) -> None:
    data = read(name)
    for end in range(len(data)):
        assembler = play([data[:end]])[1]
        if assembler.stop is None:
            continue  # told apart from a whole answer: the exchange raises
        said = finished(assembler)
        assert (said.message, said.stop) == (EXPECTED[name].message, EXPECTED[name].stop), end


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ('{"promptFeedback":{"blockReason":"SAFETY"}}', "refused"),
        ('{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":4}}', "refused"),
        ('{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}', None),
        ('{"error":{"code":500,"message":"Internal error encountered.","status":"INTERNAL"}}', None),
        ('{"error":{"code":429,"message":"Resource exhausted.","status":"RESOURCE_EXHAUSTED"}}', None),
        ('{"error":{"code":400,"message":"An invalid argument.","status":"INVALID_ARGUMENT"}}', "invalid"),
        ('{"candidates":[{"finishReason":"MALFORMED_RESPONSE"}]}', None),
        ('{"candidates":[{"finishReason":"MISSING_THOUGHT_SIGNATURE","finishMessage":"Sign it."}]}', "invalid"),
    ],
)  # fmt: skip
def test_pr05_an_error_within_the_stream_is_typed(data: str, kind: str | None) -> None:
    assembler = play([event(data)])[1]
    assert assembler.error is not None
    found = from_code(Service("gemini", "GEMINI_API_KEY", "https://example.com"), *assembler.error)
    assert isinstance(found, RetryableError if kind is None else ProviderError)
    assert kind is None or (isinstance(found, ProviderError) and found.kind == kind)


@pytest.mark.parametrize(
    "reason", ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "LANGUAGE"]
)
def test_pr12_every_way_to_refuse_is_a_refusal(reason: str) -> None:
    said = play([event(f'{{"candidates":[{{"finishReason":"{reason}"}}]}}')])[1].finish()
    assert (said.stop, said.message) == ("refusal", Message("assistant", ()))


def test_pr12_an_unknown_reason_and_further_candidates_do_no_harm() -> None:
    data = '{"candidates":[{"index":1,"content":{"parts":[{"text":"no"}]}},{"finishReason":"BRAND_NEW","index":0}]}'
    said = play([event(data), event("{}"), event('{"candidates":[{"content":{}}],"new":[1]}')])[1].finish()
    assert (said.stop, said.message) == ("unknown", Message("assistant", ()))


def test_pr08_a_call_for_which_there_is_no_tool_does_not_run() -> None:
    data = '{"candidates":[{"finishReason":"UNEXPECTED_TOOL_CALL","finishMessage":"Unexpected tool call: x"}]}'
    (call,) = play([event(data)])[1].finish().tool_calls
    assert (call.name, call.arguments) == ("unreadable_call", {})
    assert call.invalid


def test_ids_that_are_made_up_are_never_made_twice() -> None:
    first, second = (play([read("calls_without_ids")])[1].finish().tool_calls for _ in range(2))
    assert len({call.id for call in (*first, *second)}) == 4


def test_a_renamed_tool_is_called_by_its_own_name() -> None:
    data = '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"_3d_0a1b2c3d"}}]},"finishReason":"STOP"}]}'
    (call,) = play([event(data)], {"_3d_0a1b2c3d": "3d"})[1].finish().tool_calls
    assert (call.name, call.invalid) == ("3d", None)


@pytest.mark.parametrize("args", ["[1]", '"x"', "7", '{"path": NaN}', '{"path": "\\ud800"}'])
def test_pr08_arguments_that_no_object_can_be_do_not_run(args: str) -> None:
    part = f'{{"functionCall":{{"name":"f","args":{args}}}}}'
    data = f'{{"candidates":[{{"content":{{"parts":[{part}]}},"finishReason":"STOP"}}]}}'
    said: Any = play([event(data)])[1].finish()
    (call,) = said.tool_calls
    assert call.arguments == {}
    assert call.invalid
