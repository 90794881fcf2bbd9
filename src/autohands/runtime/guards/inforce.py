"""The guards in force: a change while a run is under way can only make them stricter for that run."""

from __future__ import annotations

from autohands.protocols.context import ToolContext
from autohands.protocols.guard import Allow, Ask, Deny, Guard, Verdict
from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import Tool

MOST_RUNS = 10_000


class InForce:
    """What is in force now, and what the runs that are under way began with."""

    def __init__(self, guards: tuple[Guard, ...]) -> None:
        self.present = guards
        self._began: dict[str, tuple[Guard, ...]] = {}

    def of(self, task: str) -> tuple[Guard, ...]:
        """The guards of a task's run: those it began with, and those in force at the time of each call."""
        began = self._began.setdefault(task, self.present)
        if len(self._began) > MOST_RUNS:
            del self._began[next(iter(self._began))]

        async def present(tool: Tool, call: ToolCall, ctx: ToolContext) -> Verdict:
            if self.present is began:
                return Allow()
            return strictest([await guard(tool, call, ctx) for guard in self.present])

        return (*began, present)

    def over(self, task: str) -> None:
        """The task has ended."""
        self._began.pop(task, None)


def strictest(verdicts: list[Verdict]) -> Verdict:
    """The strictest of several verdicts."""
    return max(verdicts, key=_strictness, default=Allow())


def _strictness(verdict: Verdict) -> int:
    if isinstance(verdict, Ask):
        return 2 if verdict.protected else 1
    return 3 if isinstance(verdict, Deny) else 0
