"""A unified diff of two texts, bounded in time and length. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from autohands.sdk.clip import clip_line

CONTEXT = 3
UNENDED = "\\ No newline at end of file"
SHOWN_LINES = 400
LONGEST_LINE = 500
COMPARED = 1 << 20
"""How many pairs of lines are compared one by one; beyond, a block counts as replaced as a whole."""


class Block(NamedTuple):
    """Lines `[a_start, a_end)` of one text that became `[b_start, b_end)` of the other."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int


def unified_diff(before: str, after: str, path: str) -> str:
    """What changed, as `diff -u` shows it, three lines of context; empty if nothing did.

    At most `SHOWN_LINES` lines, each at most `LONGEST_LINE` characters, and a note of what was left out.
    """
    a, b = lines_of(before), lines_of(after)
    lines = [f"--- {path}", f"+++ {path}"]
    for hunk in hunks(list(changed_blocks(a, b))):
        lines += hunk_lines(a, b, hunk)
    if len(lines) == 2:
        return ""
    shown = [clip_line(line.removesuffix("\r"), LONGEST_LINE) for line in lines[:SHOWN_LINES]]
    if len(lines) > SHOWN_LINES:
        shown.append(f"[… {len(lines) - SHOWN_LINES:,} more lines of diff]")
    return "\n".join(shown)


def lines_of(text: str) -> list[str]:
    """The lines without their newlines; a last one that has none says so, as `diff` does."""
    *lines, last = text.split("\n")
    return [*lines, f"{last}\n{UNENDED}"] if last else lines


def changed_blocks(a: Sequence[str], b: Sequence[str]) -> Iterator[Block]:
    """What differs, in order. Lines that occur once in either text hold the rest in place (patience diff)."""
    whole = trimmed(a, b, Block(0, len(a), 0, len(b)))
    a_from, b_from = whole.a_start, whole.b_start
    held = anchors(a[whole.a_start : whole.a_end], b[whole.b_start : whole.b_end])
    for a_at, b_at in held:
        a_to, b_to = whole.a_start + a_at, whole.b_start + b_at
        yield from compared(a, b, Block(a_from, a_to, b_from, b_to))
        a_from, b_from = a_to, b_to
    yield from compared(a, b, Block(a_from, whole.a_end, b_from, whole.b_end))


def trimmed(a: Sequence[str], b: Sequence[str], block: Block) -> Block:
    """The block without the lines that are the same at its ends."""
    old, new = a[block.a_start : block.a_end], b[block.b_start : block.b_end]
    head, tail = shared_ends(old, new)
    return Block(block.a_start + head, block.a_end - tail, block.b_start + head, block.b_end - tail)


def shared_ends(a: Sequence[str], b: Sequence[str]) -> tuple[int, int]:
    """How many items two sequences have in common at their beginning, and beyond that at their end."""
    shorter = min(len(a), len(b))
    head = next((at for at in range(shorter) if a[at] != b[at]), shorter)
    tail = next((at for at in range(shorter - head) if a[-1 - at] != b[-1 - at]), shorter - head)
    return head, tail


def anchors(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """The longest run of lines, unique in either text, that stand in the same order in both."""
    once_a, once_b = ({line for line, times in Counter(text).items() if times == 1} for text in (a, b))
    places = {line: at for at, line in enumerate(b) if line in once_b}
    pairs = [(at, places[line]) for at, line in enumerate(a) if line in once_a and line in places]
    tops: list[int] = []  # patience sorting: the smallest end of a run of each length
    heap: list[int] = []  # which pair that is
    before: list[int] = []  # and for each pair, the one before it in its run
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(tops, place)
        tops[length : length + 1] = [place]
        heap[length : length + 1] = [number]
        before.append(heap[length - 1] if length else -1)
    run = []
    number = heap[-1] if heap else -1
    while number >= 0:
        run.append(pairs[number])
        number = before[number]
    return run[::-1]


def compared(a: Sequence[str], b: Sequence[str], block: Block) -> Iterator[Block]:
    """What differs within one block."""
    block = trimmed(a, b, block)
    old, new = a[block.a_start : block.a_end], b[block.b_start : block.b_end]
    if not old and not new:
        return
    if len(old) * len(new) > COMPARED:
        yield block
        return
    for tag, a_from, a_to, b_from, b_to in SequenceMatcher(None, old, new).get_opcodes():
        if tag != "equal":
            yield Block(block.a_start + a_from, block.a_start + a_to, block.b_start + b_from, block.b_start + b_to)


def hunks(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Blocks that share their context, together."""
    together: list[Block] = []
    for block in blocks:
        if together and block.a_start - together[-1].a_end > 2 * CONTEXT:
            yield together
            together = []
        together.append(block)
    if together:
        yield together


def hunk_lines(a: Sequence[str], b: Sequence[str], blocks: Sequence[Block]) -> list[str]:
    """The lines of one hunk, its head first."""
    first, last = blocks[0], blocks[-1]
    a_start, b_start = max(0, first.a_start - CONTEXT), max(0, first.b_start - CONTEXT)
    a_end, b_end = min(len(a), last.a_end + CONTEXT), min(len(b), last.b_end + CONTEXT)
    lines = [f"@@ -{_range(a_start, a_end)} +{_range(b_start, b_end)} @@"]
    done = a_start
    for block in blocks:
        lines += [f" {line}" for line in a[done : block.a_start]]
        lines += [f"-{line}" for line in a[block.a_start : block.a_end]]
        lines += [f"+{line}" for line in b[block.b_start : block.b_end]]
        done = block.a_end
    return lines + [f" {line}" for line in a[done:a_end]]


def _range(start: int, end: int) -> str:
    return f"{start + 1 if end > start else start},{end - start}"
