"""Rows of measurements and the table they are printed as."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from turn.processes import Answer


@dataclass(frozen=True)
class Row:
    """One line: a value of each side for every round, in the unit that its name says.

    The target speaks of the ratio, or with `absolute` of AutoHands' own value; it is an upper bound unless `at_least`.
    """

    name: str
    hand: list[float]
    ours: list[float]
    target: float | None = None
    at_least: bool = False
    absolute: bool = False

    @property
    def ratio(self) -> float:
        """The median over the rounds of AutoHands' value by the hand-written loop's."""
        return median(ours / hand if hand else float("inf") for hand, ours in zip(self.hand, self.ours, strict=True))

    @property
    def verdict(self) -> str:
        """`ok` or `MISS`, or nothing where there is no target."""
        if self.target is None:
            return ""
        measured = median(self.ours) if self.absolute else self.ratio
        missed = measured < self.target if self.at_least else measured > self.target
        return "MISS" if missed else "ok"

    @property
    def bound(self) -> str:
        """The target as it is printed."""
        if self.target is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.target:g}{'' if self.absolute else ' ×'}"


@dataclass(frozen=True)
class Rounds:
    """What both sides answered, round by round."""

    hand: list[Answer]
    ours: list[Answer]

    @classmethod
    def of(cls, number: int, hand: Callable[[], Answer], ours: Callable[[], Answer]) -> Rounds:
        """Run `number` rounds; the side that begins takes turns."""
        rounds = cls([], [])
        for each in range(number):
            order = ((hand, rounds.hand), (ours, rounds.ours))
            for measure, answers in order if each % 2 == 0 else order[::-1]:
                answers.append(measure())
        return rounds

    def row(
        self,
        name: str,
        value: Callable[[Answer], float],
        target: float | None = None,
        *,
        at_least: bool = False,
        absolute: bool = False,
    ) -> Row:
        """One value of each answer as a row of the table."""
        return Row(name, [*map(value, self.hand)], [*map(value, self.ours)], target, at_least, absolute)


HEADING = ("what", "hand-written", "AutoHands", "ratio", "rounds", "target", "?")


def lines(rows: Iterable[Row]) -> list[str]:
    """The rows as a Markdown table; `rounds` is the least and the greatest ratio of a round."""
    cells = [HEADING, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [_line(row, widths) for row in (HEADING, rule, *cells[1:])]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return f"| {' | '.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])} |"


def _cells(row: Row) -> tuple[str, ...]:
    ratios = [ours / hand for hand, ours in zip(row.hand, row.ours, strict=True) if hand]
    spread = f"{min(ratios):.2f}–{max(ratios):.2f}" if ratios else ""
    return (
        row.name,
        _number(median(row.hand)),
        _number(median(row.ours)),
        f"{row.ratio:.2f}",
        spread,
        row.bound,
        row.verdict,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
