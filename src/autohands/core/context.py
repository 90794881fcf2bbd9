"""What belongs to one run or one call: ids, principal, workspace, data, abort signal, deadline; and sub-contexts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from autohands.protocols.context import Blobs, Children, Integrity, Labels, Models, Scope, Secrets, Services
from autohands.protocols.process import Jobs, Spawn
from autohands.protocols.task import Task, TaskRecord
from autohands.protocols.workspace import Workspace
from autohands.sdk.identity import now_ms

DEADLINE = "time limit reached"
_INTEGRITY: tuple[Integrity, ...] = ("untrusted", "agent", "owner")


class AbortSignal:
    """Set once, with a reason that reaches children; a child's reaches no parent. `due` is in monotonic seconds."""

    __slots__ = ("_due", "_parent", "_reason", "_waiting")

    def __init__(self, parent: AbortSignal | None = None, due: float | None = None) -> None:
        self._parent = parent
        self._due = due
        self._reason: str | None = None
        self._waiting: list[asyncio.Future[str]] = []

    @property
    def reason(self) -> str | None:
        """Why, or None while it is not set."""
        for signal in self._chain():
            if signal._reason is not None:
                return signal._reason
            if signal._due is not None and time.monotonic() >= signal._due:
                return DEADLINE
        return None

    @property
    def remaining_seconds(self) -> float | None:
        """How long until the first deadline, here or above, is reached; None for ever."""
        due = min((signal._due for signal in self._chain() if signal._due is not None), default=None)
        return None if due is None else max(0.0, due - time.monotonic())

    def set(self, reason: str) -> None:
        """Set it, unless it is set already."""
        if self._reason is None:
            self._reason = reason
            for future in self._waiting:
                if not future.done():
                    future.set_result(reason)

    async def wait(self) -> str:
        """Return the reason as soon as it is set, here or above, or the time is over."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        chain = list(self._chain())
        for signal in chain:
            signal._waiting.append(future)
        try:
            while (reason := self.reason) is None:
                await asyncio.wait({future}, timeout=self.remaining_seconds)
            return reason
        finally:
            for signal in chain:
                signal._waiting.remove(future)

    def _chain(self) -> Iterator[AbortSignal]:
        signal: AbortSignal | None = self
        while signal is not None:
            yield signal
            signal = signal._parent


class ExecutionContext:
    """The `ToolContext` of a run or of one of its calls. Cheap: one is made per call.

    `data` is what tools remember within a session. `scope.deadline` is UTC ms; from here on the time that remains is
    measured by the monotonic clock, so that setting the wall clock moves no deadline.
    """

    __slots__ = ("_progress", "_submitted", "abort", "data", "scope", "services")

    def __init__(
        self,
        scope: Scope,
        services: Services,
        *,
        data: dict[str, Any] | None = None,
        progress: Callable[[str], None] | None = None,
        abort: AbortSignal | None = None,
    ) -> None:
        self.scope = scope
        self.services = services
        self.data: dict[str, Any] = {} if data is None else data
        self.abort = abort or AbortSignal(due=_due(scope))
        self._progress = progress
        self._submitted = 0

    @property
    def session(self) -> str:
        """The session's id."""
        return self.scope.session

    @property
    def workspace(self) -> Workspace:
        """Files beneath the workspace's root, and nothing else."""
        return self.services.workspace

    @property
    def spawn(self) -> Spawn:
        """Starts a process in the workspace."""
        return self.services.spawn

    @property
    def jobs(self) -> Jobs:
        """The session's background processes."""
        return self.services.jobs

    @property
    def blobs(self) -> Blobs:
        """Bytes by content."""
        return self.services.blobs

    @property
    def secrets(self) -> Secrets:
        """Secrets by name."""
        return self.services.secrets

    @property
    def models(self) -> Models:
        """Providers; each call is metered."""
        return self.services.models

    @property
    def children(self) -> Children:
        """The tasks that this run has started."""
        return self.services.children

    @property
    def remaining_seconds(self) -> float | None:
        """How long until the deadline, or None for ever."""
        return self.abort.remaining_seconds

    def child(self, *, progress: Callable[[str], None] | None = None, **changes: Any) -> ExecutionContext:
        """A sub-context: its own abort signal beneath this one's, the same data; `changes` are fields of `Scope`.

        A deadline can only come closer.
        """
        deadline = changes.get("deadline")
        if deadline is not None and self.scope.deadline is not None:
            changes["deadline"] = min(deadline, self.scope.deadline)
        scope = replace(self.scope, **changes)
        return ExecutionContext(
            scope,
            self.services,
            data=self.data,
            progress=progress or self._progress,
            abort=AbortSignal(self.abort, None if deadline is None else _due(scope)),
        )

    def progress(self, text: str) -> None:
        """Show more of the output while the call runs."""
        if self._progress is not None:
            self._progress(text)

    async def submit(self, task: Task) -> TaskRecord:
        """Submit a task as this call's child, in its principal's name and with at least its labels.

        The idempotency key counts this context's submissions: after a restart the same call submits the same task once.
        """
        self._submitted += 1
        return await self.services.submit(
            replace(
                task,
                parent=self.scope.task,
                principal=self.scope.principal,
                labels=join_labels(self.scope.labels, task.labels),
                idempotency_key=task.idempotency_key or f"{self.scope.key}:{self._submitted}",
            )
        )

    async def wait(self, key: str) -> dict[str, Any]:
        """The payload of the signal `key`. Raises `Parked` while there is none."""
        return await self.services.wait(key)


def join_labels(first: Labels, second: Labels) -> Labels:
    """What comes of both: the lower integrity, and every bit that either has."""
    return Labels(
        integrity=min(first.integrity, second.integrity, key=_INTEGRITY.index),
        untrusted=first.untrusted or second.untrusted,
        private=first.private or second.private,
        outward=first.outward or second.outward,
    )


def _due(scope: Scope) -> float | None:
    """The scope's deadline on the monotonic clock, in seconds."""
    if scope.deadline is None:
        return None
    return time.monotonic() + (scope.deadline - now_ms()) / 1000
