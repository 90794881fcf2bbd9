"""Calls that had begun when the program stopped, and of which nobody knows what became."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from autohands.cli.listing import when
from autohands.protocols.messages import ToolCall

if TYPE_CHECKING:
    from autohands.hands import Hands

DECISIONS = "retry|done|skip|cancel"


class Doubt(Struct, frozen=True):
    """One such call, which a person is to decide about. `began` is UTC ms, `attempt` how often it has begun."""

    turn: int
    index: int
    call: ToolCall
    began: int
    attempt: int

    def item(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "turn": self.turn,
            "index": self.index,
            "name": self.call.name,
            "arguments": self.call.arguments,
            "began": when(self.began),
            "attempt": self.attempt,
        }


async def doubts_of(hands: Hands, task: str) -> list[Doubt]:
    """The calls of a task that a person is to decide about, in their order."""
    from autohands.runtime.history import read_turns

    turns = read_turns(await hands.storage.steps(task))[1]
    return [
        Doubt(turn.number, index, turn.reply.tool_calls[index - 1], step.started, step.attempt)
        for turn in turns
        for index, step in sorted(turn.steps.items())
        if step.undecided
    ]


def is_decision(waits: tuple[str, ...]) -> bool:
    """Whether a task waits for a decision, among other things."""
    return any(wait.startswith("decision:") for wait in waits)


def next_step(task: str) -> str:
    """What to do where nobody is there to decide."""
    return f"it waits for a decision: autohands task decide {task} {DECISIONS}"
