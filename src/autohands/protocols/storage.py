"""The seams to what is durable: one writer's door, the engine that claims tasks, the journal's readers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias

from autohands.protocols.changes import Change
from autohands.protocols.costs import By, Cost, Used
from autohands.protocols.events import Durable, Fleeting
from autohands.protocols.outbox import Outbox
from autohands.protocols.process import JobRow
from autohands.protocols.queues import Queues
from autohands.protocols.records import ApprovalRecord, Hold, SessionRecord, Step, Word
from autohands.protocols.schedule import Schedules
from autohands.protocols.task import Child, TaskRecord, TaskState
from autohands.protocols.topics import Topics
from autohands.protocols.upkeep import Backup, Loss, Retained, Retention

Kind: TypeAlias = Literal["schedules", "outbox", "topics", "ended"]


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

    @property
    def pausing(self) -> bool:
        """Whether the task is to rest: its run parks at its next step boundary, and storage pauses it."""
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


class Bell(Protocol):
    """Rings when something was committed, here or in another process."""

    async def wait(self) -> None:
        """Return when it has rung since the last wait."""
        ...


class Storage(Protocol):
    """The one writer's door, and queries. Queries never run on the event loop."""

    @property
    def schedules(self) -> Schedules:
        """Tasks at set times."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Messages on their way out."""
        ...

    @property
    def topics(self) -> Topics:
        """What was published, and who reads it."""
        ...

    @property
    def queues(self) -> Queues:
        """Queues and their limits."""
        ...

    def listen(self, kind: Kind) -> AbstractContextManager[Bell]:
        """A bell that rings when something of a kind has changed: a schedule, the outbox, a topic, a task's end."""
        ...

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

    async def ended(self, after: tuple[int, int], limit: int = 1000) -> list[TaskRecord]:
        """Tasks that have ended, in that order, later than `after`: a time in UTC ms, and a `seq` within it."""
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

    async def permitted(self, session: str) -> list[dict[str, Any]]:
        """The rules by which a person has allowed calls for the rest of a session, oldest first."""
        ...

    async def asked(self, n: int) -> int | None:
        """When the n-th last question was put to a person, in UTC ms; None where there were not so many."""
        ...

    async def held(self, place: str, session: str) -> Hold | None:
        """A write lease in a workspace that a running task of another session has; None where there is none."""
        ...

    async def words(self, task: str) -> list[Word]:
        """Words said to a task, in order."""
        ...

    async def signals(self, task: str) -> dict[str, dict[str, Any]]:
        """The payloads of a task's signals, by topic."""
        ...

    async def spent(self, task: str | None = None) -> int:
        """Micro-USD spent and reserved: what is in a task's purse (its own, and what is put aside for those it has
        started), or today."""
        ...

    async def used(self, task: str) -> Used:
        """What a task has used so far."""
        ...

    async def costs(self, by: By, since: str) -> list[Cost]:
        """What model calls have cost since a UTC day (`2027-01-31`), by one thing: days in order, others dearest
        first."""
        ...

    async def children(self, task: str) -> list[Child]:
        """The tasks that a task has started, in that order."""
        ...

    @property
    def loss(self) -> Loss | None:
        """What the start has cost, if an older state had to take the place of a damaged one."""
        ...

    async def retain(self, policy: Retention) -> Retained:
        """Delete what is older than the policy says, in small units beside other work. Raises `StorageUnavailable`."""
        ...

    async def back_up(self, keep: int) -> Backup:
        """Make a copy while it is in use, check it, and keep the newest `keep`. Raises `StorageUnavailable`."""
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


Serve: TypeAlias = Callable[[], Sequence[str]]


class Engine(Protocol):
    """Claims tasks and calls the handler; leases, due times, recovery."""

    def wake(self) -> None:
        """Look at the tables: something may be ready, or other queues are to be served."""
        ...

    async def serve(
        self, handler: Handler, *, slots: int, queues: Serve = lambda: ("default",), root: str | None = None
    ) -> None:
        """Run until cancelled, or with `root` until that task has ended: claim, call `handler(lease)`, renew, recover.

        `queues` says which are served; it is asked anew at each look, and `wake` makes it look. `root` limits it to one
        task and its descendants, and to interrupted predecessors in that task's session, whatever their queue. A
        handler ends its task or parks it; what it leaves running fails. It is cancelled with the argument "cancelled"
        when its task is, with "stopping" when serving stops: then the task is ready again.

        Raises:
            NotFound: There is no task `root`.
        """
        ...
