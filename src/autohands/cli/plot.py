"""Bars of block characters, an eighth of a column fine; of `#` where the output cannot show them."""

from __future__ import annotations

from typing import Final, TextIO

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


def shows_blocks(stream: TextIO) -> bool:
    """Whether block characters can be written to a stream."""
    try:
        _EIGHTHS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def bar(value: float, most: float, columns: int, *, blocks: bool = True) -> str:
    """A bar for a value of which `most` takes all columns; what is more than nothing is never invisible."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(round(min(value / most, 1.0) * columns * 8), 1)
    if not blocks:
        return "#" * max(round(eighths / 8), 1)
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
