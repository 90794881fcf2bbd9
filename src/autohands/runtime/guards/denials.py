"""Denials: a run cannot go on where the model insists on what was denied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from autohands.protocols.messages import ToolCall
from autohands.runtime.guards.loops import DENIED
from autohands.runtime.history import Turn

MAX_DENIED_TURNS = 3
_ENCODER = msgspec.json.Encoder()


class Denials:
    """What was denied in one run. `stuck` after the same denied call again, or turns of nothing but denied calls."""

    def __init__(self) -> None:
        self._turns = 0
        self._calls: set[tuple[str, bytes]] = set()
        self.stuck = False

    def fold(self, turns: Iterable[Turn]) -> None:
        """Take in the turns recorded before that are complete; what remains open is still to be judged."""
        for turn in turns:
            if turn.reply.tool_calls and None not in turn.results:
                self.notice(turn.reply.tool_calls, denied_in(turn))

    def notice(self, calls: Sequence[ToolCall], denied: Sequence[ToolCall]) -> None:
        """A turn's calls are through, and these were denied."""
        for call in denied:
            key = (call.name, _ENCODER.encode(call.arguments))
            self.stuck = self.stuck or key in self._calls
            self._calls.add(key)
        self._turns = self._turns + 1 if len(denied) == len(calls) else 0
        self.stuck = self.stuck or self._turns >= MAX_DENIED_TURNS


def denied_in(turn: Turn) -> list[ToolCall]:
    """The calls of a turn that are recorded as denied, by a rule or a person; those that only went on and on do not
    count."""
    return [
        call
        for index, (call, result) in enumerate(zip(turn.reply.tool_calls, turn.results, strict=True), 1)
        if result is not None and turn.steps[index].denied and not result.text.startswith(f"denied: {DENIED}")
    ]
