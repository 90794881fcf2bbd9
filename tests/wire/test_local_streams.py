"""Recorded streams of Ollama, read whole, cut at every byte offset, with other line ends, and broken off."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from autohands.extensions.provider_local.wire import Sent, decode
from autohands.extensions.provider_openai.listening import Listening
from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Reply, Text, Thinking, ToolCall, Usage
from autohands.protocols.provider import Delta, TextPiece
from autohands.sdk.ndjson import LineParser
from wire.vendor_streams import reply, thought

STREAMS = Path(__file__).parent / "streams" / "ollama"
WEATHER = {"get_weather": {"type": "object", "properties": {"location": {"type": "string"}}}}
SMALL = Sent(characters=100, window=32_768)
MADE = "made here"

EXPECTED: dict[str, Reply] = {
    "text": reply("llama3.2", "end", Usage(input=26, output=282), Text("Hello, Zoë 🙂!")),
    "thinking_and_calls": reply(
        "qwen3",
        "tool_calls",
        Usage(input=169, output=15),
        thought("I look at both."),
        ToolCall("call_ab12cd34", "get_weather", {"location": "Parí" + "s", "n": 2}),
        ToolCall("call_ef56ab78", "get_time", {}),
    ),
    "printed_call": reply(
        "qwen2.5-coder",
        "tool_calls",
        Usage(input=100, output=30),
        Text("I look.\n"),
        ToolCall(MADE, "get_weather", {"location": "Köln"}),
    ),
    "cut_short": reply("gemma3", "length", Usage(input=12, output=2), Text("One two")),
    "old_server": reply("llama2", "end", Usage(input=25, output=2, estimated=True), Text("Fine.")),
    "all_in_one_line": reply(
        "llama3.2",
        "tool_calls",
        Usage(input=122, output=33),
        ToolCall(MADE, "get_current_weather", {"format": "celsius", "location": "Paris, FR"}),
    ),
}
NAMES = sorted(EXPECTED)


def play(chunks: Iterable[bytes], sent: Sent = SMALL) -> tuple[list[Delta], Listening]:
    parser, heard = LineParser(), Listening(WEATHER, vendor="vendor")
    read = heard.hearing(partial(decode, sent=sent))
    deltas = [
        delta for chunk in chunks for event in parser.feed(chunk) if not heard.done for delta in read(event.data, heard)
    ]
    return deltas, heard


def finished(heard: Listening) -> Reply:
    """The reply, with ids that were made here under one name."""
    whole = heard.finish()
    parts = tuple(
        ToolCall(MADE, part.name, part.arguments, part.invalid)
        if isinstance(part, ToolCall) and len(part.id) > 30
        else part
        for part in whole.message.parts
    )
    return reply(whole.model, whole.stop, whole.usage, *parts)


def read_stream(name: str) -> bytes:
    return (STREAMS / f"{name}.ndjson").read_bytes()


def test_every_recorded_stream_is_expected_to_be_something() -> None:
    assert sorted(path.stem for path in STREAMS.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_read_as_ollama_means_it(name: str) -> None:
    deltas, heard = play([read_stream(name)])
    whole = finished(heard)
    assert whole == EXPECTED[name]
    told = "".join(delta.text for delta in deltas if isinstance(delta, TextPiece))
    assert told == "".join(part.text for part in whole.message.parts if isinstance(part, Text))
    assert not any(isinstance(part, Thinking) and not part.text for part in whole.message.parts)


@pytest.mark.parametrize("name", NAMES)
def test_pr03_a_cut_at_any_byte_of_lines_changes_nothing(name: str) -> None:
    data = read_stream(name)
    for offset in range(1, len(data)):
        assert finished(play([data[:offset], data[offset:]])[1]) == EXPECTED[name], offset


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r", b"\n\n"])
def test_pr03_single_bytes_and_other_ends_of_lines_change_nothing(name: str, line_end: bytes) -> None:
    data = b"\xef\xbb\xbf" + read_stream(name).replace(b"\n", line_end)
    assert finished(play(data[at : at + 1] for at in range(len(data)))[1]) == EXPECTED[name]
    assert finished(play([data])[1]) == EXPECTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_pr03_lines_that_break_off_are_never_taken_for_another_answer(name: str) -> None:
    data = read_stream(name)
    for end in range(len(data)):
        assert play([data[:end]])[1].stop is None, end


def test_pr10_a_prompt_that_was_read_in_part_is_told() -> None:
    with pytest.raises(ProviderError, match="read 26 tokens of a prompt of about 4,000") as caught:
        play([read_stream("text")], Sent(characters=16_000, window=4_096))
    assert caught.value.kind == "overflow"
    assert "context_tokens" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "sent",
    [
        Sent(characters=16_000, window=32_768),  # dense text, far from the window
        Sent(characters=150, window=40),  # near the window, and as many tokens as may be
        Sent(characters=0, window=4_096),
    ],
)
def test_pr10_dense_text_is_not_taken_for_a_prompt_that_was_cut(sent: Sent) -> None:
    assert finished(play([read_stream("text")], sent)[1]) == EXPECTED["text"]
