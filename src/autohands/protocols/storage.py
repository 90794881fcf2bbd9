"""The seams to what is durable: one writer's door, the engine that claims tasks, the journal's readers.

A `Change` is one of a closed set; `commit` takes any number of them, all or nothing. No caller composes an invariant
from two commits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from autohands.protocols.events import Durable, Fleeting, Reason
from autohands.protocols.messages import Usage
from autohands.protocols.process import JobRow
from autohands.protocols.task import Consent, Task, TaskRecord, TaskState

StepStatus: TypeAlias = Literal["started", "done", "failed", "unknown"]


class Step(Struct, frozen=True, kw_only=True):
    """One recorded act of a run, key (task, turn, index): index 0 is the model call, 1… the tool calls of its reply.

    Turn 0 index 0 holds what the run began with. `output` is the JSON of a `Reply`, a `ToolResult` or a list of
    messages. `input_hash` (effects only) is that of tool, arguments and tool version. Times are UTC ms.
    """

    turn: int
    index: int
    kind: Literal["opening", "model", "tool"]
    name: str
    status: StepStatus
    output: bytes | None = None
    idempotent: bool = True
    input_hash: bytes | None = None
    usage: Usage | None = None
    started: int = 0
    ended: int | None = None
    attempt: int = 1


class SessionRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One conversation. `system` is its system prompt, fixed when it began so that the prefix stays byte-identical.

    `attempts` counts how often its `tasks` were taken up: who knows another number has missed something.
    """

    id: str
    name: str
    principal: str
    workspace: str
    agent: str = "general"
    title: str = ""
    system: str | None = None
    tasks: int = 0
    attempts: int = 0
    created: int = 0
    updated: int = 0


class ApprovalRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to a person, bound by `digest` to the bytes of one call. Times are UTC ms."""

    id: str
    task: str
    turn: int
    index: int
    tool: str
    effect: str
    preview: str
    digest: bytes
    state: Literal["pending", "allow", "deny", "expired"] = "pending"
    by: str = ""
    reason: str = ""
    created: int = 0
    expires: int | None = None


class Word(Struct, frozen=True, kw_only=True):
    """Something said to a session while its run was under way. `turn` is the turn that read it."""

    id: int
    text: str
    turn: int | None = None


# --- changes ------------------------------------------------------------------------------------------------------


class Enqueue(Struct, frozen=True, kw_only=True):
    """Accept a task (its `session` a name or id, made if missing); writes `task.queued`. Result: its `TaskRecord`.

    Raises:
        BadRequest: It makes no sense, or its workspace is no directory. NotFound: Its session or parent is not there.
        Conflict: The idempotency key was used with another body (the same body answers with the first record), or
            its session is bound to another workspace.
    """

    task: Task


class Speak(Struct, frozen=True, kw_only=True):
    """Say words to a session's running or waiting head. Result: the head's task id, None if there is no such head."""

    session: str
    text: str


class Cancel(Struct, frozen=True, kw_only=True):
    """Cancel a task and its descendants: at once where they do not run, else by their executor. Result: its record."""

    task: str
    by: str = ""


class Decide(Struct, frozen=True, kw_only=True):
    """Answer an approval; its task becomes ready when no other is open. Writes `approval.decided`. Result: its record.

    Raises:
        NotFound: No such approval. Conflict: It was already answered otherwise, or has expired.
    """

    approval: str
    decision: Literal["allow", "deny"]
    by: str


class Signal(Struct, frozen=True, kw_only=True):
    """Give a task the payload of `topic`; wakes it if it waits for that. `dedup` makes it happen once."""

    task: str
    topic: str
    payload: dict[str, Any]
    dedup: str | None = None


class Redo(Struct, frozen=True, kw_only=True):
    """Take a task that is not done into `queue`, to go on from its recorded steps. Result: its `TaskRecord`.

    One that failed or is dead becomes ready again; one that waits stays waiting, unless its wait is over. `consent`
    replaces the task's own.

    Raises:
        Conflict: It is done or cancelled, or a living executor runs it.
    """

    task: str
    queue: str | None = None
    consent: Consent | None = None


class RenameSession(Struct, frozen=True, kw_only=True):
    """Give a session another title."""

    session: str
    title: str


class ForgetSession(Struct, frozen=True, kw_only=True):
    """Delete a session with its tasks, steps and events.

    Raises:
        Conflict: One of its tasks has not ended.
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


class AskApproval(Struct, frozen=True, kw_only=True):
    """Put a question to a person."""

    approval: ApprovalRecord


class Reserve(Struct, frozen=True, kw_only=True):
    """Put a model call's worst case aside, in micro-USD.

    The caps are those of the task's root and of the day; None is no cap. Result: True, or False where a cap forbids it;
    then nothing was reserved.
    """

    key: str
    micro_usd: int
    run_cap: int | None
    day_cap: int | None
    month_cap: int | None = None


class Settle(Struct, frozen=True, kw_only=True):
    """Replace the reservation `key` by what the call cost. Result: what the task's root has cost so far."""

    key: str
    micro_usd: int
    usage: Usage
    model: str


class Park(Struct, frozen=True, kw_only=True):
    """Task → waiting; ready at once if what it waits for came meanwhile. `waits` are `kind:key`; `until` is UTC ms.

    Its event, `task.waiting`, is the caller's. The lease is over.
    """

    reason: str
    waits: tuple[str, ...]
    until: int | None = None


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
    Enqueue | Speak | Cancel | Decide | Signal | Redo | RenameSession | ForgetSession
    | FixSystem | RecordStep | ReadWords | AskApproval | Reserve | Settle | Park | Finish
)  # fmt: skip


# --- seams --------------------------------------------------------------------------------------------------------


class Lease(Protocol):
    """The right to run one task, with its fencing token. Everything a run writes goes through it, in order."""

    @property
    def record(self) -> TaskRecord:
        """The task as it was when claimed."""
        ...

    @property
    def attempt(self) -> int:
        """Which activation this is, from 1."""
        ...

    @property
    def unread(self) -> bool:
        """Whether words may wait that came since `Storage.words` was last asked. A cheap hint, not False for long."""
        ...

    def emit(self, event: Durable | Fleeting) -> None:
        """Append an event. Synchronous; waits for nothing. The envelope is filled in, the `offset` of deltas too."""
        ...

    def note(self, step: Step, event: Durable | None = None) -> None:
        """Record a step lazily: durable with the next barrier or within 20 ms. `event` tells of it and refers to it."""
        ...

    async def commit(self, *changes: Change, event: Durable | None = None) -> list[Any]:
        """A barrier: everything emitted and noted so far, `changes` and `event`, in one transaction, synced to disk.

        Returns: the result of each change, in order.

        Raises:
            Fenced: The lease was lost.
            StorageUnavailable: The disk refuses; nothing was recorded.
        """
        ...


Handler: TypeAlias = Callable[[Lease], Awaitable[None]]


class Storage(Protocol):
    """The one writer's door, and queries. Queries never run on the event loop."""

    async def commit(self, *changes: Change) -> list[Any]:
        """Apply changes that need no lease, all or nothing; durable when it returns. Returns each change's result."""
        ...

    async def task(self, task: str) -> TaskRecord:
        """One task. Raises `NotFound` with the nearest ids; a unique prefix of at least 8 characters will do."""
        ...

    async def tasks(
        self, *, session: str | None = None, states: Sequence[TaskState] = (), limit: int = 100
    ) -> list[TaskRecord]:
        """Tasks, newest first."""
        ...

    async def interrupted(self) -> list[str]:
        """The ids of tasks that have not ended, although nobody works on them any more: to be resumed or cancelled."""
        ...

    async def steps(self, task: str) -> list[Step]:
        """The steps of a task, by turn and index."""
        ...

    async def session(self, session: str, principal: str = "owner") -> SessionRecord:
        """A session by name or id; a unique prefix of at least 8 characters after `ses_` will do. Raises `NotFound`."""
        ...

    async def sessions(self, *, search: str = "", principal: str = "owner", limit: int = 100) -> list[SessionRecord]:
        """Sessions, most recently used first; `search` looks into titles and into what was said."""
        ...

    async def approvals(self, *, task: str | None = None, pending: bool = True) -> list[ApprovalRecord]:
        """Approvals, oldest first."""
        ...

    async def words(self, task: str) -> list[Word]:
        """Words said to a task, in order."""
        ...

    async def signals(self, task: str) -> dict[str, dict[str, Any]]:
        """The payloads of a task's signals, by topic."""
        ...

    async def spent(self, task: str | None = None) -> int:
        """Micro-USD spent and reserved: by a task's root, or today."""
        ...

    async def save_job(self, row: JobRow) -> None:
        """Insert or replace a background process's row."""
        ...

    async def jobs(self, session: str | None = None) -> list[JobRow]:
        """Rows of background processes."""
        ...


class Journal(Protocol):
    """Where events are read, each reader at its own cursor."""

    def follow(self, task: str, after: int = 0) -> AsyncIterator[bytes]:
        """The events of a task as JSON, from the one after `after`: stored ones, then live ones with their deltas.

        Ends after `run.finished`. A reader too slow for the task's ring gets `reset` and goes on with what is stored.
        """
        ...

    async def events(self, task: str, after: int = 0, limit: int = 1000) -> list[bytes]:
        """Stored events as JSON."""
        ...


class Engine(Protocol):
    """Claims tasks and calls the handler; leases, due times, recovery."""

    async def serve(
        self, handler: Handler, *, slots: int, queues: Sequence[str] = ("default",), root: str | None = None
    ) -> None:
        """Run until cancelled, or with `root` until that task has ended: claim, call `handler(lease)`, renew, recover.

        `root` limits it to one task and its descendants, and to interrupted predecessors in that task's session,
        whatever their queue. A handler ends its task or parks it; what it leaves running fails. It is cancelled with
        the argument "cancelled" when its task is, with "stopping" when serving stops: then the task is ready again.

        Raises:
            NotFound: There is no task `root`.
        """
        ...
