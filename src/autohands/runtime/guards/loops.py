"""Loops: a model that does the same again and again is warned, then denied, then stopped.

What counts is what the run's recorded calls say, so a run that goes on after a restart knows what came before it.
"""

from __future__ import annotations

import hashlib
import re
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import ToolResult
from autohands.runtime.history import Turn

SAME_CALLS = 4
SAME_ERRORS = 3
BACK_AND_FORTH = 6
CHANGING = 20
OTHER_ARGUMENTS = 2  # times `SAME_ERRORS`: a call with other arguments may fare better
KEPT = 64

DENIED = "loop_detected: "
_TOLD = "\n\n[loop: {text}. Do something else, or say what stands in the way; the next such call is denied.]"
_MARK = re.compile(r"\n\n\[loop: [^\n]*\]\Z")
_CANONICAL = msgspec.json.Encoder(order="sorted")


class Made(Struct):
    """A call that was made: `outcome` is what it came to, None while it is open; `polling` ones repeat nothing."""

    turn: int
    index: int
    tool: str
    key: bytes
    at: int
    outcome: bytes | None = None
    failed: bool = False
    polling: bool = False
    denied: bool = False


class Loops:
    """The calls of one run, in the order asked. `poll_of` says at which interval a tool's calls may be repeated."""

    def __init__(self, poll_of: Callable[[ToolCall], float | None] = lambda call: None) -> None:
        self._poll_of = poll_of
        self._made: list[Made] = []
        self._open = 0
        self.stuck = False

    def fold(self, turns: Iterable[Turn]) -> None:
        """Take in what was recorded before."""
        for turn in turns:
            for index, (call, result) in enumerate(zip(turn.reply.tool_calls, turn.results, strict=True), 1):
                if result is None:
                    self._open = turn.number
                    continue
                step = turn.steps[index]
                self.enter(turn.number, index, call, step.started)
                if step.denied and result.text.startswith(f"denied: {DENIED}"):
                    self._deny(len(self._made) - 1)
                else:
                    self._end(self._made[-1], result)

    def enter(self, turn: int, index: int, call: ToolCall, at: int) -> None:
        """A call is about to be judged; `at` is UTC ms."""
        made = Made(turn, index, call.name, _key(call), at)
        poll = self._poll_of(call)
        if poll is not None:
            last = next((each.at for each in reversed(self._made) if each.key == made.key), None)
            made.polling = last is None or at - last >= poll * 1000
        insort(self._made, made, key=_at)  # one that waited comes before those that were asked after it
        del self._made[:-KEPT]

    def objection(self, turn: int, index: int) -> str | None:
        """Why this call must not run, or None. After a denial that changed nothing the run is `stuck`.

        A turn that goes on was judged when it was asked: what those beside it came to is not held against a call that
        has waited.
        """
        position = self._position(turn, index)
        if position is None or turn == self._open or self._made[position].polling:
            return None
        text = self._continued(position)
        if text is None:
            return None
        self._deny(position)
        return f"{DENIED}{text}, and were told so. The run ends if you go on like this"

    def told(self, turn: int, index: int, result: ToolResult, *, warn: bool = True) -> ToolResult:
        """The result of a call, with a warning where it goes round in circles."""
        position = self._position(turn, index)
        if position is None or self._made[position].denied:
            return result
        made = self._made[position]
        self._end(made, result)
        text = None if made.polling or not warn else self._repeated(position)
        return result if text is None else replace(result, text=result.text + _TOLD.format(text=text))

    def _position(self, turn: int, index: int) -> int | None:
        found = (at for at in range(len(self._made) - 1, -1, -1) if _at(self._made[at]) == (turn, index))
        return next(found, None)

    def _end(self, made: Made, result: ToolResult) -> None:
        plain = _MARK.sub("", result.text)
        made.outcome, made.failed = hashlib.blake2b(plain.encode(), digest_size=16).digest(), result.failed

    def _deny(self, position: int) -> None:
        """Deny a call; as far as the pattern goes it counts as made. A second denial in a row is one too many."""
        made, before = self._made[position], self._made[:position]
        like = next((each for each in reversed(before[-2:]) if each.key == made.key), before[-1] if before else made)
        made.denied, made.outcome, made.failed = True, like.outcome, like.failed
        denials = takewhile(lambda each: each.denied, reversed(before))
        self.stuck = self.stuck or any(each.turn < made.turn for each in denials)

    def _continued(self, position: int) -> str | None:
        """The pattern that a call would go on with."""
        made, back = self._made[position], self._back(position)
        text = _same(back, made.key) or _tool_fails(back, made.tool, SAME_ERRORS * OTHER_ARGUMENTS)
        return text or (_back_and_forth(back) if len(back) > 1 and back[1].key == made.key else None)

    def _repeated(self, position: int) -> str | None:
        """The pattern that a call has ended in."""
        made, back = self._made[position], self._back(position + 1)
        return _same(back, made.key) or _tool_fails(back, made.tool, SAME_ERRORS) or _back_and_forth(back)

    def _back(self, end: int) -> list[Made]:
        """What was made before `end`, the last first, as far back as the last poll."""
        return list(takewhile(lambda each: not each.polling, reversed(self._made[:end])))


def _same(back: Sequence[Made], key: bytes) -> str | None:
    """The same call, again and again."""
    calls = list(takewhile(lambda each: each.key == key, back))
    alike = _count(calls, lambda each: each.outcome is not None and each.outcome == calls[0].outcome)
    if alike >= SAME_ERRORS and calls[0].failed:
        return f"you have made this call {alike} times in a row, and it failed each time with the same error"
    if alike >= SAME_CALLS:
        return f"you have made this call {alike} times in a row, with the same result each time"
    if len(calls) >= CHANGING:
        return f"you have made this call {len(calls)} times in a row"
    return None


def _tool_fails(back: Sequence[Made], tool: str, least: int) -> str | None:
    """Calls of one tool that all fail with the same words."""
    failed = _count(back, lambda each: each.tool == tool and each.failed and each.outcome == back[0].outcome)
    return None if failed < least else f"{failed} calls of {tool} in a row have failed with the same error"


def _back_and_forth(back: Sequence[Made]) -> str | None:
    """Two calls in turn, each with the same result each time."""
    if len(back) < BACK_AND_FORTH or back[0].key == back[1].key:
        return None
    alike = 2 + _count(range(2, len(back)), lambda at: _mark(back[at]) == _mark(back[at - 2]))
    open_ones = any(each.outcome is None for each in back[:alike])
    if alike < BACK_AND_FORTH or open_ones:
        return None
    return f"you have gone back and forth between two calls, {alike} calls in a row, with the same results each time"


def _count(each: Iterable[object], fits: Callable[..., bool]) -> int:
    """How many of the first fit."""
    return sum(1 for _ in _first(each, fits))


def _first(each: Iterable[object], fits: Callable[..., bool]) -> Iterator[object]:
    return takewhile(fits, each)


def _mark(made: Made) -> tuple[bytes, bytes | None]:
    return made.key, made.outcome


def _at(made: Made) -> tuple[int, int]:
    return made.turn, made.index


def _key(call: ToolCall) -> bytes:
    """What makes two calls the same: the tool and the arguments as they were asked."""
    arguments = call.invalid if call.invalid is not None else call.arguments
    return hashlib.blake2b(_CANONICAL.encode([call.name, arguments]), digest_size=16).digest()
