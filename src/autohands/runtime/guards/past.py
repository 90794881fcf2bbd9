"""What was decided of recorded calls, and what the present policy would decide of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from autohands.protocols.errors import AutoHandsError
from autohands.protocols.guard import Allow, Ask
from autohands.protocols.messages import ToolCall
from autohands.protocols.records import ApprovalRecord, Step
from autohands.protocols.task import Task
from autohands.protocols.tool import Tool, ToolResult
from autohands.runtime.guards.policy import Judged, Policy
from autohands.runtime.guards.rules import Rooted
from autohands.runtime.history import read_turns

Decided: TypeAlias = Literal["unasked", "asked", "denied"]
_BY_POLICY = re.compile(r"denied: (the policy forbids|the hard floor|nobody is there to approve|.*yes does not cover)")


class PastCall(Struct, frozen=True, kw_only=True):
    """A recorded call: what was decided then, what would be decided now, and why."""

    turn: int
    index: int
    call: ToolCall
    then: Decided
    now: Decided
    judged: Judged


def past_calls(
    task: Task,
    recorded: tuple[Sequence[Step], Sequence[ApprovalRecord]],
    policy: Policy,
    find: Callable[[str], Tool | None],
    place: Rooted,
) -> Iterator[PastCall]:
    """A task's calls on which the policy had a say. Calls of tools that are gone, and invalid ones, are left out."""
    steps, approvals = recorded
    asked = {(each.turn, each.index) for each in approvals}
    for turn in read_turns(steps)[1]:
        for index, (call, result) in enumerate(zip(turn.reply.tool_calls, turn.results, strict=True), 1):
            tool = find(call.name)
            if tool is None or result is None or call.invalid is not None:
                continue
            then = _then(turn.steps[index], result, was_asked=(turn.number, index) in asked)
            judged = _judge(policy, tool, call, place, task.source)
            if judged is not None and then is not None:
                now = _now(judged, task)
                yield PastCall(turn=turn.number, index=index, call=call, then=then, now=now, judged=judged)


def _then(step: Step, result: ToolResult, *, was_asked: bool) -> Decided | None:
    if was_asked:
        return "asked"
    if not step.denied:
        return "unasked"
    return "denied" if _BY_POLICY.match(result.text) else None


def _judge(policy: Policy, tool: Tool, call: ToolCall, place: Rooted, source: str) -> Judged | None:
    try:
        arguments = tool.validate(call.arguments)
        converted = msgspec.structs.replace(call, arguments=msgspec.to_builtins(arguments))
        return policy.judge(converted, tool.effect(arguments), place, source)
    except (AutoHandsError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _now(judged: Judged, task: Task) -> Decided:
    """What a verdict comes to, where nobody answers otherwise than the task's consent says."""
    if isinstance(judged.verdict, Allow):
        return "unasked"
    if not isinstance(judged.verdict, Ask) or task.consent == "deny":
        return "denied"
    if task.consent == "workspace":
        return "unasked" if not judged.verdict.protected else "asked" if task.attended else "denied"
    return "asked"
