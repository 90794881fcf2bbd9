"""Lines that a model wrote with one indentation, put into a place that has another. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from math import gcd
from typing import NamedTuple


def refit(new: Sequence[str], old: Sequence[str], found: Sequence[str], around: Sequence[str]) -> list[str] | None:
    """`new` as it would be had the model quoted the lines `found` (as many as `old`) and not `old`.

    Lines that the edit leaves alone are the file's own; the others are moved from the indentation of `old` to that of
    `found`. `around` is the whole file, which shows its unit of indentation where `found` does not. None where a line's
    place cannot be told, because lines that `old` indents alike are not indented alike in `found`.
    """
    shift = Shift(new, old, found, around)
    fitted: list[str | None] = []
    for tag, old_start, old_end, new_start, new_end in SequenceMatcher(None, old, new).get_opcodes():
        if tag == "equal":
            fitted += found[old_start:old_end]
        elif old_end - old_start == new_end - new_start:
            pairs = zip(range(old_start, old_end), new[new_start:new_end], strict=True)
            fitted += [shift.apply(line, at) for at, line in pairs]
        else:
            fitted += [shift.apply(line) for line in new[new_start:new_end]]
    known = [line for line in fitted if line is not None]
    return known if len(known) == len(fitted) else None


class Pair(NamedTuple):
    """The indentation of a line as it was quoted and as it is in the file."""

    quoted: str
    found: str


class Shift:
    """How indentation changes from quoted lines to the lines they stand for.

    `step` characters of it in the quoted lines are `unit` in the file.
    """

    def __init__(self, new: Sequence[str], old: Sequence[str], found: Sequence[str], around: Sequence[str]) -> None:
        self._quoted = [(Pair(indent(a), indent(b)) if a.strip() else None) for a, b in zip(old, found, strict=True)]
        self._pairs = list(dict.fromkeys(pair for pair in self._quoted if pair))
        self._step, self._unit = self._seen() or (len(unit(old) or unit(new)), unit(around))

    def _seen(self) -> tuple[int, str] | None:
        """What the lines show themselves, if they are indented more than once or not differently at all."""
        if all(quoted == found for quoted, found in self._pairs):
            return 0, ""
        steps: Counter[tuple[int, str]] = Counter()
        for shallow, deep in pairwise(sorted(self._pairs)):
            quoted, found = deep.quoted.removeprefix(shallow.quoted), deep.found.removeprefix(shallow.found)
            if quoted and len(set(found)) == 1:
                common = gcd(len(quoted), len(found))
                steps[len(quoted) // common, found[: len(found) // common]] += 1
        return steps.most_common(1)[0][0] if steps else None

    def apply(self, line: str, instead: int | None = None) -> str | None:
        """A line of the replacement, moved to where the quoted ones really are; None if that cannot be told.

        `instead` is the number of the quoted line that it takes the place of, if it does.
        """
        if not line.strip():
            return ""
        depth = indent(line)
        pair = self._quoted[instead] if instead is not None else None
        if pair is None or pair.quoted != depth:
            pair = self._nearest(depth)
        if pair is None:
            return None
        if depth.startswith(pair.quoted):
            return pair.found + self._converted(depth[len(pair.quoted) :]) + line[len(depth) :]
        surplus = self._converted(pair.quoted[len(depth) :] if pair.quoted.startswith(depth) else "")
        return pair.found[: max(0, len(pair.found) - len(surplus))] + line[len(depth) :]

    def _nearest(self, depth: str) -> Pair | None:
        """The pair that tells where a line of this depth goes: as deep, else less deep, else just above."""
        quoted = max((pair.quoted for pair in self._pairs), key=lambda quoted: _likeness(quoted, depth))
        pairs = [pair for pair in self._pairs if pair.quoted == quoted]
        alike = any(len({pair.found.expandtabs(width) for pair in pairs}) == 1 for width in (4, 8))
        return pairs[0] if alike else None

    def _converted(self, extra: str) -> str:
        """Further indentation, in the unit that the file uses."""
        if not (self._step and self._unit) or len(extra) % self._step:
            return extra
        return self._unit * (len(extra) // self._step)


def _likeness(quoted: str, depth: str) -> tuple[bool, int]:
    """How well a line indented by `quoted` tells where one indented by `depth` goes."""
    inside = depth.startswith(quoted)
    return inside, len(quoted) if inside else -len(quoted)


def indent(line: str) -> str:
    """The whitespace that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def unit(lines: Sequence[str]) -> str:
    """One level of indentation: a tab, the commonest step of spaces, or nothing where the lines show none."""
    depths = [indent(line) for line in lines if line.strip()]
    if sum(depth.startswith("\t") for depth in depths) * 2 > sum(bool(depth) for depth in depths):
        return "\t"
    steps = Counter(len(b) - len(a) for a, b in pairwise(depths) if len(b) > len(a))
    return " " * steps.most_common(1)[0][0] if steps else ""
