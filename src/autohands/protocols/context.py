"""What belongs to one run, and what a tool may see and do in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from autohands.protocols.messages import BlobRef
from autohands.protocols.process import Jobs, Spawn
from autohands.protocols.workspace import Workspace

if TYPE_CHECKING:
    from autohands.protocols.provider import LLMProvider
    from autohands.protocols.task import Child, Task, TaskRecord

Integrity: TypeAlias = Literal["owner", "agent", "untrusted"]


class Labels(Struct, frozen=True, omit_defaults=True):
    """Where things come from: integrity (the join is the lowest) and three sticky bits."""

    integrity: Integrity = "owner"
    untrusted: bool = False
    private: bool = False
    outward: bool = False


class Wait(Struct, frozen=True):
    """What an open call waits for: `kind` is approval, child, signal or timer; `key` names it; `until` is UTC ms."""

    kind: str
    key: str
    until: int | None = None


class Parked(BaseException):
    """Raised where a call has to wait: the run ends its activation and keeps no coroutine."""

    def __init__(self, *waits: Wait) -> None:
        super().__init__(*waits)
        self.waits = waits


class Abort(Protocol):
    """A signal that is set once, with a reason, and reaches children."""

    @property
    def reason(self) -> str | None:
        """Why, or None while it is not set."""
        ...

    async def wait(self) -> str:
        """Return the reason as soon as the signal is set."""
        ...


class Blobs(Protocol):
    """Bytes by content."""

    async def put(self, data: bytes, mime: str) -> BlobRef:
        """Store bytes; the same bytes are stored once."""
        ...

    async def get(self, ref: BlobRef) -> bytes:
        """The bytes of a reference.

        Raises:
            NotFound: They are gone.
        """
        ...


class Models(Protocol):
    """Providers for those who may call a model; each call is metered."""

    def get(self, name: str) -> LLMProvider:
        """A provider by name.

        Raises:
            NotFound: None of that name; the nearest names are given.
        """
        ...


class Secrets(Protocol):
    """Secrets by name."""

    def get(self, name: str) -> str | None:
        """The secret, or None."""
        ...


class Children(Protocol):
    """The tasks that a run has started, and nobody else's."""

    async def list(self) -> tuple[Child, ...]:
        """All of them, in the order in which they were started."""
        ...

    async def tell(self, child: str, text: str, *, key: str) -> None:
        """Say words to one, once for each `key`: it reads them in its next turn.

        Raises:
            NotFound: The run has started no such task. Conflict: It has ended.
        """
        ...

    async def cancel(self, child: str) -> TaskRecord:
        """End one with all that it has started. Raises `NotFound`."""
        ...


Submit: TypeAlias = "Callable[[Task], Awaitable[TaskRecord]]"
WaitFor: TypeAlias = Callable[[str], Awaitable[dict[str, Any]]]


class Scope(Struct, frozen=True, kw_only=True):
    """Whose work this is: ids, principal, where the task came from, labels, deadline (UTC ms)."""

    task: str
    session: str
    agent: str
    principal: str = "owner"
    source: str = "api"
    turn: int = 0
    index: int = 0
    attempt: int = 1
    labels: Labels = Labels()
    deadline: int | None = None

    @property
    def key(self) -> str:
        """The idempotency key of this call: the same after a restart."""
        return f"{self.task}:{self.turn}:{self.index}"


class Services(Struct, frozen=True, kw_only=True):
    """What a run may use: processes, the session's jobs, blobs, secrets, models, further tasks, waiting."""

    workspace: Workspace
    spawn: Spawn
    jobs: Jobs
    blobs: Blobs
    secrets: Secrets
    models: Models
    submit: Submit
    wait: WaitFor
    children: Children


class ToolContext(Protocol):
    """What a tool may see and do."""

    @property
    def scope(self) -> Scope:
        """Ids, principal, labels, deadline."""
        ...

    @property
    def session(self) -> str:
        """The session's id."""
        ...

    @property
    def workspace(self) -> Workspace:
        """Files beneath the workspace's root, and nothing else."""
        ...

    @property
    def abort(self) -> Abort:
        """Set when the run is cancelled or its time is over."""
        ...

    @property
    def data(self) -> dict[str, Any]:
        """What tools remember within a session while the process lives."""
        ...

    @property
    def spawn(self) -> Spawn:
        """Starts a process in the workspace."""
        ...

    @property
    def jobs(self) -> Jobs:
        """The session's background processes."""
        ...

    @property
    def blobs(self) -> Blobs:
        """Bytes by content."""
        ...

    @property
    def secrets(self) -> Secrets:
        """Secrets by name."""
        ...

    @property
    def models(self) -> Models:
        """Providers; each call is metered."""
        ...

    @property
    def children(self) -> Children:
        """The tasks that this run has started."""
        ...

    def progress(self, text: str) -> None:
        """Show more of the output while the call runs."""
        ...

    async def submit(self, task: Task) -> TaskRecord:
        """Submit a task as this call's child; after a restart the same call submits it only once."""
        ...

    async def wait(self, key: str) -> dict[str, Any]:
        """The payload of the signal `key`. Until there is one the run parks, and the tool starts again from its top."""
        ...
