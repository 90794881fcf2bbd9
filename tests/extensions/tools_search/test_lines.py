"""Rows that ripgrep prints, cut anywhere, become lines."""

from typing import cast

import pytest

from autohands.extensions.tools_search.lines import Line, LineReader, rendered
from autohands.extensions.tools_search.ripgrep import Place, Search
from autohands.protocols.process import Chunk, ExitStatus, Process
from autohands.sdk import ToolError

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


def test_rows_become_lines() -> None:
    reader = LineReader(Place(0, ".", "sub/"))
    reader.feed(PRINTED)
    assert (len(reader), reader.total) == (4, 3)
    assert reader.first(10) == LINES
    assert reader.first(1) == LINES[:1]
    assert reader.first(0) == []


class Printed:
    """A process that has printed, and is read in small pieces."""

    def __init__(self, data: bytes, step: int, status: ExitStatus) -> None:
        self._data = data
        self._step = step
        self._status = status

    async def grown(self, past: int) -> int:
        return len(self._data)

    async def wait(self) -> ExitStatus:
        return self._status

    def read(self, cursor: int, most_bytes: int = 0) -> Chunk:
        data = self._data[cursor : cursor + self._step]
        return Chunk(data, cursor + len(data))


@pytest.mark.parametrize("step", [1, 2, 3, 7, 16, 1000])
async def test_pieces_hold_whole_rows_however_the_output_is_cut(step: int) -> None:
    reader = LineReader(Place(0, ".", "sub/"))
    process = cast("Process", Printed(PRINTED, step, ExitStatus(0)))
    async for piece in Search(process, rows=True).chunks():
        reader.feed(piece)
    assert reader.first(10) == LINES


@pytest.mark.parametrize("step", [1, 2, 1000])
async def test_pieces_hold_whole_names(step: int) -> None:
    process = cast("Process", Printed(b"./a\0./b\nc\0", step, ExitStatus(0)))
    pieces = [piece async for piece in Search(process, rows=False).chunks()]
    assert all(piece.endswith(b"\0") for piece in pieces)
    assert b"".join(pieces) == b"./a\0./b\nc\0"


async def test_what_ends_early_is_incomplete_and_what_complains_is_an_error() -> None:
    early = Search(cast("Process", Printed(PRINTED, 9, ExitStatus(None, reason="timeout"))), rows=True)
    assert [piece async for piece in early.chunks()]
    assert early.incomplete
    partial = Search(cast("Process", Printed(PRINTED, 9, ExitStatus(2))), rows=True)
    assert [piece async for piece in partial.chunks()]
    assert not partial.incomplete
    wrong = Search(cast("Process", Printed(b"rg: regex parse error\n", 9, ExitStatus(2))), rows=True)
    with pytest.raises(ToolError, match="regex parse error"):
        assert not [piece async for piece in wrong.chunks()]


def test_lines_as_they_are_shown() -> None:
    shown = list(rendered([*LINES, Line("sub/b.py", 9, "nine", True)], ascii))
    assert shown == [
        r"'sub/a\nb':10:\xff:1", "--", "'sub/a.py':1:one", "--", "'sub/b.py':2:two", "'sub/b.py'-3-three", "--",
        "'sub/b.py':9:nine",
    ]  # fmt: skip
