"""Recorded streams of the vendors, read whole, cut at every byte offset, with other line ends, and broken off."""

import random

import pytest

from autohands.protocols.messages import Text, Thinking
from autohands.protocols.provider import TextPiece, ThinkingPiece
from wire.vendor_streams import EXPECTED, STREAMS, play, read

NAMES = sorted(EXPECTED)


def test_every_recorded_stream_is_expected_to_be_something() -> None:
    assert sorted(str(path.relative_to(STREAMS).with_suffix("")) for path in STREAMS.glob("*/*.sse")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_read_as_its_vendor_means_it(name: str) -> None:
    deltas, assembler = play(name, [read(name)])
    reply = assembler.finish()
    assert reply == EXPECTED[name]
    said = "".join(delta.text for delta in deltas if isinstance(delta, TextPiece))
    thought = "".join(delta.text for delta in deltas if isinstance(delta, ThinkingPiece))
    assert said == "".join(part.text for part in reply.message.parts if isinstance(part, Text))
    assert thought == "".join(part.text for part in reply.message.parts if isinstance(part, Thinking))


@pytest.mark.parametrize("name", NAMES)
def test_pr03_a_cut_at_any_byte_changes_nothing(name: str) -> None:
    data = read(name)
    for offset in range(1, len(data)):
        assert play(name, [data[:offset], data[offset:]])[1].finish() == EXPECTED[name], offset


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_pr03_single_bytes_and_other_line_ends_change_nothing(name: str, line_end: bytes) -> None:
    data = b"\xef\xbb\xbf" + read(name).replace(b"\n", line_end)
    assert play(name, [data[at : at + 1] for at in range(len(data))])[1].finish() == EXPECTED[name]
    assert play(name, [data])[1].finish() == EXPECTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_pr03_no_space_comments_and_mixed_line_ends_change_nothing(name: str) -> None:
    draw = random.Random(name)
    events = read(name).replace(b"data: ", b"data:").split(b"\n\n")
    mixed = [(b": ping\n\n" + event + b"\n\n").replace(b"\n", draw.choice([b"\n", b"\r\n", b"\r"])) for event in events]
    assert play(name, [b"".join(mixed)])[1].finish() == EXPECTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_pr03_a_stream_that_breaks_off_is_never_taken_for_another_answer(name: str) -> None:
    data = read(name)
    for end in range(len(data)):
        assembler = play(name, [data[:end]])[1]
        if assembler.stop is None:
            continue  # told apart from a whole answer: the exchange raises
        reply = assembler.finish()
        assert (reply.message, reply.stop) == (EXPECTED[name].message, EXPECTED[name].stop), end
