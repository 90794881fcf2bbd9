"""Lines that ripgrep found, out of what it prints, and as they are shown."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from msgspec import Struct

from autohands.sdk.clip import clip_line, decode

from .ripgrep import Place

LONGEST_PRINTED = 2_000
LONGEST_SHOWN = 500
ROW = re.compile(rb"([^\0]+)\0(\d+)([:-])([^\n]*)\n")
BINARY = b'(found "\\0" byte around offset '
BINARY_ROW = re.compile(rb"^[^\0\n]*" + re.escape(BINARY) + rb"[^\0\n]*\n", re.MULTILINE)

Row: TypeAlias = tuple[bytes, bytes, bytes, bytes]


class Line(Struct, frozen=True):
    """A line that was found, or (`match` False) one around it."""

    path: str
    number: int
    text: str
    match: bool


class LineReader:
    """Takes what ripgrep prints, in whole rows. Rows stay bytes until they are shown."""

    switches = (
        "--line-number",
        "--no-heading",
        "--no-context-separator",
        f"--max-columns={LONGEST_PRINTED}",
        "--max-columns-preview",
    )

    def __init__(self, where: Place) -> None:
        self._where = where
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def total(self) -> int:
        """How many lines match, so far."""
        return sum(sign == b":" for _, _, sign, _ in self._rows)

    def feed(self, printed: bytes) -> None:
        """Take the next piece."""
        if BINARY in printed:
            printed = BINARY_ROW.sub(b"", printed)
        self._rows += ROW.findall(printed)

    def first(self, limit: int) -> list[Line]:
        """By path, the lines up to the `limit`-th match with what stands around it: ripgrep keeps a file's in order."""
        shown = []
        for row in sorted(self._rows, key=itemgetter(0)):
            limit -= row[2] == b":"
            if limit < 0:
                break
            shown.append(self._line(row))
        return shown

    def _line(self, row: Row) -> Line:
        name, number, sign, text = row
        shown = clip_line(decode(text.removesuffix(b"\r")), LONGEST_SHOWN)
        return Line(self._where.path(os.fsdecode(name)), int(number), shown, sign == b":")


def rendered(shown: list[Line], name_of: Callable[[str], str]) -> Iterator[str]:
    """Lines as `path:line:text`, those around a match as `path-line-text`, `--` where lines between are left out."""
    around = any(not line.match for line in shown)
    before: Line | None = None
    for path, group in groupby(shown, key=lambda line: line.path):
        name = name_of(path)
        for line in group:
            if around and before and (before.path != path or line.number != before.number + 1):
                yield "--"
            sign = ":" if line.match else "-"
            yield f"{name}{sign}{line.number}{sign}{line.text}"
            before = line
