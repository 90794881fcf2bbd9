"""The event parser against the specification's rules, whatever the cuts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohands.protocols.errors import ProviderError
from autohands.sdk.sse import EVENT_BYTES, Event, EventParser


def parse(*chunks: bytes) -> list[Event]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def feed_on(parser: EventParser, piece: bytes) -> None:
    for _ in range(2_000):
        parser.feed(piece)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [Event("a")]),
        (b"data:a\n\n", [Event("a")]),
        (b"data:  a\n\n", [Event(" a")]),
        (b"data: a\ndata: b\n\n", [Event("a\nb")]),
        (b"data\n\n", [Event("")]),
        (b"data:\ndata:\n\n", [Event("\n")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [Event("a", "x"), Event("b")]),
        (b"event: x\n\ndata: b\n\n", [Event("b")]),
        (b"event:  x\ndata: a\n\nevent: \ndata: b\n\n", [Event("a", " x"), Event("b")]),
        (b"event: x\nevent: y\ndata: a\n\n", [Event("a", "y")]),
        (b"data: a\nevent: x\n\ndata: b\n\n", [Event("a", "x"), Event("b")]),
        (b"event: x\ndata: a\ndata: b\n\n", [Event("a\nb", "x")]),
        (b"\n\ndata: a\n\n\n\ndata: b\n\n\n", [Event("a"), Event("b")]),
        (b": comment\n\ndata: a\n\n", [Event("a")]),
        (b"id: 7\nretry: 10\nunknown: x\ndata: a\n\n", [Event("a")]),
        (b"data: a: b\n\n", [Event("a: b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\n", [Event("a"), Event("b"), Event("c")]),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"", []),
        (b"\n\n\n", []),
        (b"data: \xff\n\n", [Event("�")]),
        ("data: Zoë 🙂\n\n".encode(), [Event("Zoë 🙂")]),
    ],
)
def test_pr03_streams_are_read_as_specified(stream: bytes, events: list[Event]) -> None:
    assert parse(stream) == events
    assert parse(*(stream[at : at + 1] for at in range(len(stream)))) == events


def test_a_byte_order_mark_counts_at_the_start_only() -> None:
    assert parse(b"data: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n") == [Event("a"), Event("c")]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12), max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 120), max_size=8),
)
def test_pr03_whatever_the_cuts_the_events_are_the_same(texts: list[str], line_end: bytes, cuts: list[int]) -> None:
    stream = b"".join(b"event: e\ndata: " + text.encode() + b"\n\n" for text in texts).replace(b"\n", line_end)
    stream += b"data: x\n\n"  # a CR at the very end could be half a line end
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(edges)]
    assert parse(*chunks) == [*(Event(text, "e") for text in texts), Event("x")]


def test_pr03_an_event_in_500_chunks_and_500_events_in_a_chunk() -> None:
    text = "x" * 500
    assert parse(b"data: ", *(b"x" for _ in text), b"\n\n") == [Event(text)]
    assert len(parse(b"data: y\n\n" * 500)) == 500


def test_pr03_five_megabytes_are_an_event_and_more_is_an_error() -> None:
    parser = EventParser()
    piece = b"x" * 65_536
    for _ in range(EVENT_BYTES // len(piece) - 1):
        parser.feed(piece)
    assert parser.feed(b"\n\n") == []
    whole = EventParser()
    (event,) = whole.feed(b"data: " + b"x" * 5_000_000 + b"\n\n")
    assert len(event.data) == 5_000_000
    with pytest.raises(ProviderError, match="more than 5,242,880 bytes") as caught:
        feed_on(whole, piece)
    assert caught.value.kind == "broken"


@pytest.mark.parametrize("line", [b"data:\n", b"data: 1234567890\n"])
def test_pr03_an_event_of_endless_lines_is_an_error(line: bytes) -> None:
    parser = EventParser(event_bytes=1_000)
    with pytest.raises(ProviderError):
        feed_on(parser, line)


def test_the_cap_counts_one_event_not_the_stream() -> None:
    parser = EventParser(event_bytes=100)
    assert sum(len(parser.feed(b"data: 1234567890\n\n")) for _ in range(1_000)) == 1_000
