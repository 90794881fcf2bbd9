"""What happened: one closed union, written once, in order, in the journal.

Durable events carry `seq` (per task, without gaps, given by the journal). Deltas carry `after` (the last durable seq),
`attempt` and `offset` instead: they live in memory only, and the finished reply replaces them. `at` is UTC ms.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from autohands.protocols.messages import Message, ToolCall, Usage
from autohands.protocols.tool import Effect, ToolResult

Reason: TypeAlias = Literal[
    "done",
    "failed",
    "cancelled",
    "turn_limit",
    "time_limit",
    "call_limit",
    "token_limit",
    "byte_limit",
    "budget",
    "denied",
    "loop",
    "client_tools",
    "attempts",
    "context_unrecoverable",
]


class Durable(Struct, frozen=True, gc=False, kw_only=True, tag_field="type"):
    """The envelope of an event that is kept."""

    task: str = ""
    session: str = ""
    at: int = 0
    seq: int | UnsetType = UNSET


class Fleeting(Struct, frozen=True, gc=False, kw_only=True, tag_field="type"):
    """The envelope of a delta. `offset` counts the characters of its stream that came before it."""

    task: str = ""
    session: str = ""
    at: int = 0
    after: int = 0
    attempt: int = 1
    offset: int = 0


class TaskQueued(Durable, frozen=True, tag="task.queued"):
    """A task was accepted."""

    prompt: str = ""
    source: str = ""


class RunStarted(Durable, frozen=True, tag="run.started"):
    """The first attempt began."""

    agent: str
    model: str
    workspace: str


class RunResumed(Durable, frozen=True, tag="run.resumed"):
    """A further attempt began: after a restart, an approval, a wait."""

    attempt: int


class TurnStarted(Durable, frozen=True, tag="turn.started"):
    """The model is about to be asked."""

    turn: int


class TextDelta(Fleeting, frozen=True, tag="text.delta"):
    """More of the answer."""

    text: str
    turn: int = 0


class ThinkingDelta(Fleeting, frozen=True, tag="thinking.delta"):
    """More of the reasoning."""

    text: str
    turn: int = 0


class ReplyFinished(Durable, frozen=True, tag="replied"):
    """The model answered; `message` is the whole of it, kept in its step."""

    turn: int
    stop: str
    usage: Usage
    message: Message | UnsetType = UNSET


class ToolStarted(Durable, frozen=True, tag="tool.started"):
    """A call begins."""

    turn: int
    index: int
    call: ToolCall
    effect: Effect


class ToolOutput(Fleeting, frozen=True, tag="tool.output"):
    """More of a running tool's output."""

    turn: int
    index: int
    text: str


class ToolFinished(Durable, frozen=True, tag="tool.finished"):
    """A call ended; `status` is `unknown` where a crash hid the outcome. `result` is kept in its step."""

    turn: int
    index: int
    call_id: str
    name: str
    status: Literal["done", "failed", "unknown", "denied"]
    result: ToolResult | UnsetType = UNSET


class ApprovalRequested(Durable, frozen=True, tag="approval.requested"):
    """A call waits for a person. `preview` shows what it would do, `origin` whose call it is, `hosts` where data may
    go; `rule` would allow such calls from now on, where one is offered."""

    approval: str
    turn: int
    index: int
    call: ToolCall
    effect: Effect
    preview: str
    reason: str = ""
    origin: str = ""
    hosts: tuple[str, ...] = ()
    rule: dict[str, Any] | None = None


class ApprovalDecided(Durable, frozen=True, tag="approval.decided"):
    """A person, a rule or time has answered."""

    approval: str
    decision: Literal["allow", "deny", "expired"]
    by: str = ""


class Compacted(Durable, frozen=True, tag="compacted"):
    """History was shortened: old results were cut, or old turns gave way to a summary."""

    turn: int
    tokens_before: int
    tokens_after: int


class CacheMissed(Durable, frozen=True, tag="cache.missed"):
    """Less of the prompt came from the vendor's cache than could have, and why.

    `segment` is the first one that was not as before: model, system, tools, history; `cache` where all were. Tokens of
    the last prompt could have been read from the cache; `cached_tokens` were, as far as the vendor tells. `micro_usd`
    is what the difference costs, if the prices are known.
    """

    turn: int
    segment: Literal["model", "system", "tools", "history", "cache"]
    why: str
    expected_tokens: int
    cached_tokens: int
    micro_usd: int | None = None


class RetryScheduled(Durable, frozen=True, tag="retrying"):
    """A model call failed in passing and is tried again."""

    turn: int
    attempt: int
    reason: str
    delay_seconds: float


class BudgetReserved(Durable, frozen=True, tag="budget.reserved"):
    """The worst case of a model call was put aside, in micro-USD."""

    turn: int
    micro_usd: int


class BudgetSettled(Durable, frozen=True, tag="budget.settled"):
    """What the call cost in fact, in micro-USD, and what the run has cost so far."""

    turn: int
    micro_usd: int
    run_micro_usd: int


class TaskWaiting(Durable, frozen=True, tag="task.waiting"):
    """The run parked: nothing of it is in memory until `waits` end."""

    reason: str
    waits: tuple[str, ...] = ()


class Reset(Fleeting, frozen=True, tag="reset"):
    """Forget the partial text of this turn: it is told again, or the finished reply replaces it."""

    turn: int = 0


class RunFinished(Durable, frozen=True, tag="run.finished"):
    """The task ended: exactly once, in the transaction that ends it."""

    reason: Reason
    text: str = ""
    error: str = ""
    turns: int = 0
    usage: Usage = Usage()
    micro_usd: int = 0


class Unknown(Struct, frozen=True):
    """An event of a newer program: its type and its JSON as it was."""

    type: str
    raw: dict[str, Any]


Delta: TypeAlias = TextDelta | ThinkingDelta | ToolOutput | Reset
Event: TypeAlias = (
    TaskQueued
    | RunStarted
    | RunResumed
    | TurnStarted
    | TextDelta
    | ThinkingDelta
    | ReplyFinished
    | ToolStarted
    | ToolOutput
    | ToolFinished
    | ApprovalRequested
    | ApprovalDecided
    | Compacted
    | CacheMissed
    | RetryScheduled
    | BudgetReserved
    | BudgetSettled
    | TaskWaiting
    | Reset
    | RunFinished
)
