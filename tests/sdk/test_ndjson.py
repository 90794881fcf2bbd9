"""Lines of JSON, whatever the cuts."""

import pytest

from autohands.protocols.errors import ProviderError
from autohands.sdk.ndjson import LineParser


def lines(*chunks: bytes) -> list[str]:
    parser = LineParser()
    return [event.data for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b'{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}\r\n\r\n{"b":2}\r', ['{"a":1}', '{"b":2}']),
        (b"\xef\xbb\xbf{}\n", ["{}"]),
        (b"\n \n\t\n", []),
        (b'{"cut": 1', []),
        (b"", []),
        ('"Zoë 🙂"\n'.encode(), ['"Zoë 🙂"']),
        (b"\xff\n", ["�"]),
    ],
)
def test_pr03_lines_are_cut_where_they_end(stream: bytes, found: list[str]) -> None:
    assert lines(stream) == found
    assert lines(*(stream[at : at + 1] for at in range(len(stream)))) == found


def test_pr03_a_line_without_end_is_an_error() -> None:
    parser = LineParser(line_bytes=100)
    parser.feed(b"x" * 100)
    with pytest.raises(ProviderError, match="a line of more than 100 bytes") as caught:
        parser.feed(b"x")
    assert caught.value.kind == "broken"
