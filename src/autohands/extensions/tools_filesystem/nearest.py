"""The region of a file that comes nearest to lines which are not in it. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from difflib import get_close_matches

from autohands.sdk.clip import clip_line

SHOWN_LINES = 30
LONGEST_LINE = 300
LINES_COMPARED = 3000
PLACES_OF_A_LINE = 50


def nearest_region(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """A sentence with the line numbers and the text of the region most like `wanted`; empty if none is like it."""
    keys, wanted_keys = [squeeze(line) for line in lines], [squeeze(line) for line in wanted]
    start = by_common_lines(keys, wanted_keys)
    if start is None:
        start = by_similar_line(keys, wanted_keys)
    if start is None:
        return ""
    end = min(len(lines), start + max(len(wanted), 1))
    shown = "\n".join(clip_line(line, LONGEST_LINE) for line in lines[start : min(end, start + SHOWN_LINES)])
    return f"The nearest region is lines {start + 1}-{end}; quote it exactly as it stands:\n{shown}"


def squeeze(line: str) -> str:
    """A line without its whitespace."""
    return "".join(line.split())


def by_common_lines(keys: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The start on which most lines agree, each with the weight of its length."""
    places: dict[str, list[int]] = defaultdict(list)
    asked = set(wanted) - {""}
    for at, key in enumerate(keys):
        if key in asked and len(places[key]) < PLACES_OF_A_LINE:
            places[key].append(at)
    votes: Counter[int] = Counter()
    for offset, key in enumerate(wanted):
        for at in places.get(key, ()):
            votes[max(0, at - offset)] += len(key)
    return votes.most_common(1)[0][0] if votes else None


def by_similar_line(keys: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The start that puts the longest wanted line on the line most like it."""
    offset, longest = max(enumerate(wanted), key=lambda pair: len(pair[1]), default=(0, ""))
    like = [key for key in dict.fromkeys(keys) if len(longest) <= 2 * len(key) <= 4 * len(longest)]
    near = get_close_matches(longest[:LONGEST_LINE], [key[:LONGEST_LINE] for key in like[:LINES_COMPARED]], 1)
    if not near:
        return None
    return max(0, next(at for at, key in enumerate(keys) if key[:LONGEST_LINE] == near[0]) - offset)
