"""The closed set of changes that a commit may make, all or nothing.

No caller composes an invariant from two commits.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from autohands.protocols.events import Reason
from autohands.protocols.messages import Usage
from autohands.protocols.outbox import OutboxChange
from autohands.protocols.queues import QueueChange
from autohands.protocols.records import ApprovalRecord, Step
from autohands.protocols.schedule import ScheduleChange
from autohands.protocols.task import Consent, Task, TaskState
from autohands.protocols.tool import ToolResult
from autohands.protocols.topics import TopicChange


class Enqueue(Struct, frozen=True, kw_only=True):
    """Accept a task (its `session` a name or id, made if missing); writes `task.queued`. Result: its `TaskRecord`.

    `depth`, `children` and `descendants` bound how deep a tree of tasks may grow, how many children one task may have
    and how many tasks a root may have beneath it. A child's budget is put aside in what is left of its parent's, at
    most all of it, without one a quarter of it; what it has not spent comes back when it ends. Where its parent has no
    limit and it names none, it spends from its parent's purse.

    Raises:
        BadRequest: It makes no sense, its workspace is no directory, or the tree it belongs to may not grow.
        NotFound: Its session, its parent or a task that it is to come after is not there.
        Conflict: The idempotency key was used with another body (the same body answers with the first record), or
            its session is bound to another workspace.
        TooBusy: Its queue is full.
    """

    task: Task
    depth: int = 8
    children: int = 1000
    descendants: int = 10_000


class Speak(Struct, frozen=True, kw_only=True):
    """Say words to a session's running or waiting head. Result: the head's task id, None if there is no such head."""

    session: str
    text: str


class Tell(Struct, frozen=True, kw_only=True):
    """Say words to a child of `parent`, once for each `key`: it reads them in its next turn.

    Raises:
        NotFound: `parent` has no such child. Conflict: It has ended.
    """

    task: str
    parent: str
    text: str
    key: str


class Cancel(Struct, frozen=True, kw_only=True):
    """Cancel a task and its descendants: at once where they do not run, else by their executor. Result: its record."""

    task: str
    by: str = ""


class Decide(Struct, frozen=True, kw_only=True):
    """Answer an approval; its task becomes ready when no other is open. Writes `approval.decided`. Result: its record.

    With `for_session` its rule allows such calls for the rest of the session.

    Raises:
        NotFound: No such approval. Conflict: It was already answered otherwise, or has expired.
        BadRequest: No rule is offered for it.
    """

    approval: str
    decision: Literal["allow", "deny"]
    by: str
    for_session: bool = False


class Signal(Struct, frozen=True, kw_only=True):
    """Give a task the payload of `topic`; wakes it if it waits for that. `dedup` makes it happen once."""

    task: str
    topic: str
    payload: dict[str, Any]
    dedup: str | None = None


class Redo(Struct, frozen=True, kw_only=True):
    """Take a task that is not done into `queue`, to go on from its recorded steps. Result: its `TaskRecord`.

    One that failed or is dead becomes ready again; one that waits stays waiting, unless its wait is over or it was only
    put off (`BackOff`). One that is paused goes on, or waits for what has not come meanwhile; a pause that was only
    asked for is taken back. `consent` replaces the task's own.

    Raises:
        Conflict: It is done or cancelled, or a living executor runs it.
    """

    task: str
    queue: str | None = None
    consent: Consent | None = None


class Pause(Struct, frozen=True, kw_only=True):
    """Let a task rest: one that runs at its next step boundary, another at once. Result: its record.

    One that is delayed or blocked rests when its turn comes. It keeps its place in its session, and what it waits for.
    `Redo` lets it go on. Storage writes `task.waiting` with the reason `paused`, unless its run parks for that reason.

    Raises:
        NotFound: No such task. Conflict: It has ended, or is being cancelled.
    """

    task: str


class DecideStep(Struct, frozen=True, kw_only=True):
    """Say what became of an effect whose outcome is unknown, before the model has read it. Result: the task's record.

    `retry` lets it begin once more, `done` gives it `result`, `skip` makes it a failure that was left out, `cancel`
    ends the task. Without `turn` the only open one is meant. The task wakes when none is open any more.

    Raises:
        NotFound: No such task or step. Conflict: The outcome is known, or the model has read it; or several are open.
        BadRequest: A result without `done`.
    """

    task: str
    decision: Literal["retry", "done", "skip", "cancel"]
    by: str
    turn: int | None = None
    index: int | None = None
    result: ToolResult | None = None


class Fork(Struct, frozen=True, kw_only=True):
    """Make a task that goes on from another's first `turn` - 1 turns, in a session of its own. Result: its record.

    The new session's history is that of the old one up to there. Without `turn` the last whole turn is asked for again,
    or follows if there is a `prompt`. With `replay` no turn is copied: the new task begins at the beginning, and its
    calls are answered with what the old one's calls returned. `model` replaces the old one's; `prompt` is said before
    turn `turn`, in place of the old one where that is the first.

    Raises:
        NotFound: No such task. BadRequest: It has not so many whole turns.
    """

    task: str
    turn: int | None = None
    replay: bool = False
    model: str | None = None
    prompt: str | None = None
    queue: str | None = None


class RenameSession(Struct, frozen=True, kw_only=True):
    """Give a session another title."""

    session: str
    title: str


class ForgetSession(Struct, frozen=True, kw_only=True):
    """Delete a session with its tasks, steps and events.

    Raises:
        Conflict: One of its tasks has not ended, or another session was forked from it.
    """

    session: str


# Changes below belong to a lease and are refused with `Fenced` when it is lost.


class FixSystem(Struct, frozen=True, kw_only=True):
    """Keep the session's system prompt, if it has none yet. Result: the one that stands."""

    session: str
    system: str


class RecordStep(Struct, frozen=True, kw_only=True):
    """Write a step: insert it, or complete one that was `started`. A finished step never changes.

    Raises:
        Conflict: It is there already and this would change nothing: its body must not run.
    """

    step: Step


class ReadWords(Struct, frozen=True, kw_only=True):
    """Mark words as read by `turn`."""

    ids: tuple[int, ...]
    turn: int


class HoldPaths(Struct, frozen=True, kw_only=True):
    """Take the write leases of paths in a workspace (`place`, its root), all or none, for as long as the task runs.

    Result: None, or the `Hold` of a task of another session that runs and has one of them, or one above or beneath it.
    """

    place: str
    paths: tuple[str, ...]


class AskApproval(Struct, frozen=True, kw_only=True):
    """Put a question to a person."""

    approval: ApprovalRecord


class Reserve(Struct, frozen=True, kw_only=True):
    """Put the worst case of a turn's model call aside, in micro-USD, with its tokens and the bytes it sends, and tell
    of it: `budget.reserved`.

    The caps are those of the task's purse, of the UTC day and month, of the root's session and, for a day, of the agent
    and of the schedule; None is no cap. A child's purse holds no more than was put aside for it. Result: True, or False
    where a cap forbids it; then nothing was reserved. Without a lease it belongs to no task,
    and nothing is told.
    """

    turn: int = 0
    key: str
    micro_usd: int
    run_cap: int | None
    day_cap: int | None
    month_cap: int | None = None
    session_cap: int | None = None
    agent_cap: int | None = None
    schedule_cap: int | None = None
    tokens: int = 0
    sent: int = 0


class Settle(Struct, frozen=True, kw_only=True):
    """Replace the reservation `key` by what the call cost. Result: what is in the task's purse then."""

    key: str
    micro_usd: int
    usage: Usage
    model: str


class Park(Struct, frozen=True, kw_only=True):
    """Task → waiting; ready at once if what it waits for came meanwhile. `waits` are `kind:key`; `until` is UTC ms.

    Its event, `task.waiting`, is the caller's. The lease is over. A task that is to rest becomes paused instead; the
    reason `paused` waits for nothing else.
    """

    reason: str
    waits: tuple[str, ...]
    until: int | None = None


class BackOff(Struct, frozen=True, kw_only=True):
    """A passing fault ended this attempt: the task waits, longer each time, and then runs again; too often → dead.

    Writes `task.waiting` or `run.finished`. `delay_seconds` is what the service asked for. The lease is over.
    Result: True while there are attempts left.
    """

    error: str
    delay_seconds: float | None = None


class Finish(Struct, frozen=True, kw_only=True):
    """End the task, tell its parent, promote its session's next one. Result: False where unread words forbid it.

    Writes `run.finished` with the totals of its steps and of the ledger. The parent gets the signal `child:ID` with
    state, reason, text and error. After True the lease is over.
    """

    state: TaskState
    reason: Reason
    text: str = ""
    error: str = ""
    unless_words: bool = False


Change: TypeAlias = (
    Enqueue | Speak | Tell | Cancel | Decide | Signal | Redo | Pause | DecideStep | Fork | RenameSession | ForgetSession
    | FixSystem | RecordStep | ReadWords | HoldPaths | AskApproval | Reserve | Settle | Park | BackOff | Finish
    | ScheduleChange | OutboxChange | TopicChange | QueueChange
)  # fmt: skip
