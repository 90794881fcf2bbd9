"""Rows that ripgrep prints, cut anywhere, become lines."""

import pytest

from autohands.extensions.tools_search.lines import Line, LineReader, rendered
from autohands.extensions.tools_search.ripgrep import Place

PRINTED = (
    b"./b.py\x002:two\n./b.py\x003-three\n./a\nb\x0010:\xff:1\r\n"
    b'./bin: binary file matches (found "\\0" byte around offset 7)\n./a.py\x001:one\n'
)
LINES = [
    Line("sub/a\nb", 10, r"\xff:1", True),
    Line("sub/a.py", 1, "one", True),
    Line("sub/b.py", 2, "two", True),
    Line("sub/b.py", 3, "three", False),
]


@pytest.mark.parametrize("cut", [index + 1 for index, byte in enumerate(PRINTED) if byte == ord("\n")])
def test_pieces_end_with_any_line(cut: int) -> None:
    reader = LineReader(Place(0, ".", "sub/"))
    for piece in (PRINTED[:cut], PRINTED[cut:]):
        if piece:
            reader.feed(piece)
    assert reader.first(10) == LINES
    assert (len(reader), reader.total) == (4, 3)
    assert reader.first(1) == LINES[:1]
    assert reader.first(0) == []


def test_lines_as_they_are_shown() -> None:
    shown = list(rendered([*LINES, Line("sub/b.py", 9, "nine", True)], ascii))
    assert shown == [
        r"'sub/a\nb':10:\xff:1", "--", "'sub/a.py':1:one", "--", "'sub/b.py':2:two", "'sub/b.py'-3-three", "--",
        "'sub/b.py':9:nine",
    ]  # fmt: skip
