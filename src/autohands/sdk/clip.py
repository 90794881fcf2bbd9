"""Bounding and cleaning text where it is produced: both ends kept, a mark between, nothing a terminal would obey."""

from __future__ import annotations

import re

LONGEST_LINE = 2_000
LONGEST_MARK = 4

# Text, compiled by `re` when it is first used.
_ESCAPES = r"""(?x)\x1b(?:
        [\]P^_X] [^\x07\x1b\x9c\r\n]* (?:\x07|\x1b\\|\x9c)?   # OSC, DCS, PM, APC, SOS up to their end, or the line's
      | \[ [0-?]* [ -/]* [@-~]?                              # CSI
      | [ -/]* [0-~]                                         # two-character and charset sequences
    )?
    | \x9b [0-?]* [ -/]* [@-~]                               # CSI as one character
    | [\x90\x98\x9d\x9e\x9f] [^\x07\x1b\x9c\r\n]* (?:\x07|\x1b\\|\x9c)?
    """
_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
_SURROGATES = r"[\ud800-\udfff]"
_DECEPTIVE = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def decode(data: bytes) -> str:
    r"""Bytes as text that fits into JSON: UTF-8, and `\xff` for each byte that is not."""
    return data.decode("utf-8", "backslashreplace")


def json_safe(text: str) -> str:
    r"""Text without lone surrogates, which no encoder takes: each becomes `\udc80`."""
    return re.sub(_SURROGATES, _escaped, text)


def plain(text: str) -> str:
    """Text without terminal escape sequences and control characters; tab, newline and carriage return stay."""
    return re.sub(_CONTROLS, "", re.sub(_ESCAPES, "", text))


def escape(text: str) -> str:
    r"""Text for a person's eyes: what is invisible or reorders what is seen becomes `\x1b` or `\u202e`."""
    return re.sub(_DECEPTIVE, _escaped, text)


def clip_lines(text: str, offset: int = 1, limit: int = 2_000, *, longest: int = LONGEST_LINE) -> str:
    """`limit` lines from line `offset` on, counting from 1; a negative offset counts from the end, -1 is the last line.

    A line of more than `longest` characters is cut, and a mark says where to go on if lines are left.
    """
    lines = text.split("\n")
    if not lines[-1]:
        del lines[-1]
    start = max(len(lines) + offset, 0) if offset < 0 else max(offset, 1) - 1
    shown = lines[start : start + max(limit, 0)]
    after = start + len(shown)
    body = "\n".join(clip_line(line, longest) for line in shown)
    if after < len(lines):
        mark = f"[lines {start + 1}-{after} of {len(lines)}; go on with offset={after + 1}]"
        return f"{body}\n{mark}" if shown else mark
    if not shown and lines:
        return f"[there are only {len(lines)} lines]"
    return f"{body}\n" if text.endswith("\n") else body


def clip_line(line: str, longest: int = LONGEST_LINE) -> str:
    """One line without its newline, the end cut off and counted where it is longer than `longest` characters."""
    if len(line) <= longest:
        return line
    return f"{line[:longest]}[… {len(line) - longest:,} characters more]"


def clip_ends(text: str, most_bytes: int = 32_768, *, hint: str = "") -> str:
    """The text if it has at most `most_bytes` in UTF-8, else both its ends and a mark between them."""
    if len(text) * LONGEST_MARK <= most_bytes:
        return text
    data = json_safe(text).encode()
    if len(data) <= most_bytes:
        return text
    half = most_bytes // 2
    return join_ends(data[:half], data[-half:], len(data) - 2 * half, hint=hint)


def join_ends(head: bytes, tail: bytes, left_out: int, *, hint: str = "") -> str:
    """Two ends of a long output as text, with a mark of how many bytes between them are left out and `hint` after it.

    Each end is cut back to a whole character, and to a whole line where one begins within its last quarter.
    """
    if left_out <= 0:
        return decode(head + tail)
    first, last = whole_head(head), whole_tail(tail)
    left_out += len(head) - len(first) + len(tail) - len(last)
    mark = f"[… {left_out:,} bytes left out{f'; {hint}' if hint else ''} …]"
    return f"{decode(first).rstrip(chr(10))}\n{mark}\n{decode(last)}"


def whole_head(head: bytes) -> bytes:
    """The beginning of something, without a line begun in its last quarter, else without a character begun."""
    newline = head.rfind(b"\n") + 1
    if newline > len(head) * 3 // 4:
        return head[:newline]
    for cut in range(1, min(LONGEST_MARK, len(head) + 1)):
        if head[-cut] >= 0xC0:
            return head if len(head[-cut:].decode("utf-8", "ignore")) else head[:-cut]
        if head[-cut] < 0x80:
            break
    return head


def whole_tail(tail: bytes) -> bytes:
    """The end of something, without the rest of a line that ends in its first quarter, else of a character."""
    newline = tail.find(b"\n") + 1
    if 0 < newline < len(tail) // 4:
        return tail[newline:]
    start = 0
    while start < min(LONGEST_MARK - 1, len(tail)) and 0x80 <= tail[start] < 0xC0:
        start += 1
    return tail[start:]


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
