"""The lines of a file that were asked for, in constant memory however large it is."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct, structs

from autohands.protocols.workspace import Reader
from autohands.sdk.clip import LONGEST_LINE

from .text import Encoding, showable

PIECE = 1 << 20
LONGEST_TEXT = 100_000
FIRST_TAIL, LONGEST_TAIL = 64 << 10, 4 << 20


class Window(Struct, frozen=True):
    """Some lines of a file, joined by newlines, and how many they are.

    `first` is the number of the first one; below zero it counts from the end. `total` is how many lines the file has,
    if that is known. `rest` tells that more follow, `clipped` that a line is not shown in full.
    """

    text: str
    count: int
    first: int
    total: int | None
    rest: bool
    clipped: bool


class Line(NamedTuple):
    """The beginning of a line, long enough to be shown, and how many characters it has in all."""

    begin: str
    length: int


def window_of(text: str, offset: int, limit: int) -> Window:
    """`limit` lines from line `offset` on, counting from 1; below zero it counts from the end."""
    total = count_lines(text)
    first = max(1, offset if offset >= 0 else total + 1 + offset)
    after = min(total, first - 1 + limit)
    lines = text.split("\n", after)[first - 1 : after]
    body = "\n".join(lines).replace("\r\n", "\n").removesuffix("\r")
    count, clipped = len(lines), False
    if len(body) > LONGEST_TEXT or max(map(len, lines), default=0) > LONGEST_LINE:
        body, count, clipped = bounded([Line(line[: LONGEST_LINE + 1], len(line)) for line in lines])
    return Window(showable(body), count, first, total, first + count <= total, clipped)


def bounded(lines: Sequence[Line]) -> tuple[str, int, bool]:
    """As many lines as `LONGEST_TEXT` allows but at least one, each cut where it is too long; and whether one was."""
    shown: list[str] = []
    space, clipped = LONGEST_TEXT, False
    for begin, length in lines:
        line = begin.removesuffix("\r")
        if len(line) > LONGEST_LINE:
            line, clipped = f"{line[:LONGEST_LINE]}[… {length - LONGEST_LINE:,} characters more]", True
        if shown and len(line) > space:
            break
        shown.append(line)
        space -= len(line) + 1
    return "\n".join(shown), len(shown), clipped


async def read_window(file: Reader, encoding: Encoding, offset: int, limit: int) -> Window:
    """As `window_of`, of a file that is too large to be read whole."""
    if offset < 0:
        return await _read_tail(file, encoding, -offset, limit)
    first = max(1, offset)
    collector = Collector(first, limit)
    decoder = codecs.getincrementaldecoder(encoding.name)("backslashreplace")
    position = len(encoding.mark)
    while not collector.full and (data := await file.pread(PIECE, position)):
        collector.feed(decoder.decode(data))
        position += len(data)
    total = None if collector.full else collector.finish()
    text, count, clipped = bounded(collector.lines)
    return Window(showable(text), count, first, total, total is None or count < len(collector.lines), clipped)


async def _read_tail(file: Reader, encoding: Encoding, count: int, limit: int) -> Window:
    begin, length = len(encoding.mark), FIRST_TAIL
    while True:
        start = max(begin, file.stat.size - length)
        start -= (start - begin) % encoding.width
        text = (await file.pread(length + encoding.width, start)).decode(encoding.name, "backslashreplace")
        if start == begin or text.count("\n") > count or length >= LONGEST_TAIL:
            break
        length *= 4
    if start > begin and "\n" in text:
        text = text.partition("\n")[2]
    window = window_of(text, -count, limit)
    return structs.replace(window, first=window.first - 1 - (window.total or 0), total=None)


def count_lines(text: str) -> int:
    """How many lines a text has; the last one needs no newline."""
    return text.count("\n") + (text != "" and not text.endswith("\n"))


class Collector:
    """Takes a text piece by piece and keeps `limit` lines from line `first` on, with a bound on their length."""

    def __init__(self, first: int, limit: int) -> None:
        self._first = first
        self._room = limit
        self._space = LONGEST_TEXT
        self._number = 1
        self._line = ""
        self._length = 0
        self.lines: list[Line] = []

    @property
    def full(self) -> bool:
        """Whether there is no room for a further line."""
        return not self._room or self._space <= 0

    def feed(self, text: str) -> None:
        """The next piece of the text; nothing more is taken once it is full."""
        newlines = text.count("\n")
        if self._number + newlines < self._first:
            self._number += newlines
            self._length = len(text) - text.rfind("\n") - 1 if newlines else self._length + len(text)
            return
        *ended, begun = text.split("\n")
        for part in ended:
            self._add(part)
            self._end_line()
            if self.full:
                return
        self._add(begun)

    def finish(self) -> int:
        """Take the last line, if it has no newline, and tell how many lines there were."""
        if self._length:
            self._end_line()
        return self._number - 1

    def _add(self, part: str) -> None:
        if self._number >= self._first:
            self._line += part[: max(0, LONGEST_LINE + 1 - len(self._line))]
        self._length += len(part)

    def _end_line(self) -> None:
        if self._number >= self._first:
            self.lines.append(Line(self._line, self._length))
            self._space -= len(self._line) + 1
            self._room -= 1
        self._number += 1
        self._line, self._length = "", 0
