"""Claims tasks and calls the handler; leases, due times, recovery."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from autohands.protocols.errors import Fenced, StorageUnavailable
from autohands.protocols.events import Durable, TaskWaiting
from autohands.protocols.storage import Change, Finish, Handler, Park
from autohands.sdk.identity import new_id, now_ms
from autohands.storage import claims, executors
from autohands.storage.claims import Claimed, Scope, Sweep, Who
from autohands.storage.database import Database
from autohands.storage.journal import Journal
from autohands.storage.lease import Flusher, Lease
from autohands.storage.transaction import Transaction

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS: Final = 10.0
BACK_OFF_SECONDS: Final = 1.0
UNRECORDED: Final = "the handler returned without ending or parking the task"


class Parts(Struct, frozen=True):
    """What the engine is made of."""

    database: Database
    journal: Journal
    flusher: Flusher


class Engine:
    """Drives tasks on this database. Several may serve at once, here and in other processes: leases keep them apart."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._services: list[_Service] = []

    async def serve(
        self, handler: Handler, *, slots: int, queues: Sequence[str] = ("default",), root: str | None = None
    ) -> None:
        """Run until cancelled, or with `root` until that task has ended: claim, call `handler(lease)`, renew, recover.

        At most `slots` tasks run at once. `root` limits it to one task and its descendants, and to interrupted
        predecessors in that task's session; these are served whatever their queue. A handler is cancelled when its task
        is ("cancelled" is the argument of its CancelledError) and when serving stops ("stopping").

        Raises:
            NotFound: There is no task `root`.
        """
        scope = Scope(tuple(queues), root)
        service = _Service(self._parts, handler, slots, scope)
        self._services.append(service)
        self._renew()
        try:
            with self._parts.database.watching():
                await service.run()
        finally:
            self._services.remove(service)
            self._renew()

    def wake(self) -> None:
        """Something may be ready."""
        for service in self._services:
            service.wake()

    def committed(self, tx: Transaction) -> None:
        """Something was committed here."""
        if tx.ready:
            self.wake()
        for task in tx.cancelled:
            for service in self._services:
                service.cancel(task)
        for task in tx.spoken:
            if lease := self.lease(task):
                lease.unread = True

    def lease(self, task: str) -> Lease | None:
        """The lease under which a task runs here."""
        for service in self._services:
            if activation := service.activations.get(task):
                return activation.lease
        return None

    def _renew(self) -> None:
        """Have the writer renew the leases of those who serve, even while the event loop is blocked."""
        ids = [service.who.id for service in self._services]
        self._parts.database.renew_with((lambda tx: executors.renew(tx, ids)) if ids else None)


class _Activation:
    """One task that runs here."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False

    def cancel(self) -> None:
        """The task is to be cancelled."""
        if not self.cancelled:
            self.cancelled = True
            if self.task is not None:
                self.task.cancel("cancelled")


class _Service:
    """One call of `serve`: an executor with slots."""

    def __init__(self, parts: Parts, handler: Handler, slots: int, scope: Scope) -> None:
        self._parts = parts
        self._handler = handler
        self._slots = slots
        self._scope = scope
        self._woken = asyncio.Event()
        self.who = Who(new_id("exe"), executors.this_process())
        self.activations: dict[str, _Activation] = {}

    def wake(self) -> None:
        """Look at the tables again."""
        self._woken.set()

    def cancel(self, task: str) -> None:
        """Cancel a task if it runs here."""
        if activation := self.activations.get(task):
            activation.cancel()

    async def run(self) -> None:
        """Claim and run until cancelled or until the root has ended."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._woken.clear()
                    patience = await self._look(group)
                    if patience is None:
                        break
                    await self._rest(patience)
                for activation in self.activations.values():
                    if activation.task is not None:
                        activation.task.cancel("stopping")
        finally:
            with contextlib.suppress(StorageUnavailable):
                await self._parts.database.write(lambda tx: claims.resign(tx, self.who.id))

    async def _look(self, group: asyncio.TaskGroup) -> float | None:
        """Look once; how many seconds there is time, or None if all is done."""
        free = self._slots - len(self.activations)
        try:
            found = await self._parts.database.write(lambda tx: claims.sweep(tx, self.who, self._scope, free))
        except StorageUnavailable as error:
            logger.error("cannot look for tasks: %s", error)
            return BACK_OFF_SECONDS
        for claimed in found.claimed:
            self._start(group, claimed)
        self._heed(found)
        if found.root_ended:
            return None
        if found.next_at is None:
            return LOOK_AGAIN_SECONDS
        return min((found.next_at - now_ms() + 1) / 1000, LOOK_AGAIN_SECONDS)

    def _heed(self, found: Sweep) -> None:
        """What others want of the tasks that run here."""
        for task in found.cancelled:
            self.cancel(task)
        for task in found.spoken:
            if activation := self.activations.get(task):
                activation.lease.unread = True

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._woken.wait()

    def _start(self, group: asyncio.TaskGroup, claimed: Claimed) -> None:
        task = claimed.record.id
        stream = self._parts.journal.lease(task, claimed.last_seq, claimed.record.attempt)
        activation = _Activation(Lease(claimed, self._parts.database, stream, self._parts.flusher))
        self.activations[task] = activation
        activation.task = group.create_task(self._activate(activation), name=task)
        activation.task.add_done_callback(lambda _done: self._leave(task))

    def _leave(self, task: str) -> None:
        del self.activations[task]
        self._parts.journal.release(task)
        self.wake()

    async def _activate(self, activation: _Activation) -> None:
        """Run the handler, and see to it that the task does not stay running."""
        lease, error = activation.lease, UNRECORDED
        try:
            await self._handler(lease)
        except Fenced:
            return
        except StorageUnavailable as refusal:
            logger.error("task %s parks: %s", lease.record.id, refusal)
            await self._conclude(lease, *_backed_off())
            return
        except asyncio.CancelledError:
            if not activation.cancelled:
                await self._put_down(lease)
                raise
            await self._conclude(lease, Finish(state="cancelled", reason="cancelled"))
            return
        except Exception as crash:  # a task's crash ends the task, not the program
            logger.exception("task %s crashed", lease.record.id)
            error = f"{type(crash).__name__}: {crash}".encode("utf-8", "replace").decode()
        await self._conclude(lease, Finish(state="failed", reason="failed", error=error))

    async def _conclude(self, lease: Lease, change: Change, event: Durable | None = None) -> None:
        while not lease.over:
            try:
                await lease.conclude(change, event)
            except Fenced:
                return
            except StorageUnavailable:
                await asyncio.sleep(BACK_OFF_SECONDS)

    @staticmethod
    async def _put_down(lease: Lease) -> None:
        """Serving stops: what the run has gathered is recorded; the task itself is released by `resign`."""
        if not lease.over:
            with contextlib.suppress(Fenced, StorageUnavailable):
                await lease.commit()


def _backed_off() -> tuple[Park, TaskWaiting]:
    until = now_ms() + int(BACK_OFF_SECONDS * 1000)
    return Park(reason="backoff", waits=("timer:storage",), until=until), TaskWaiting(
        reason="backoff", waits=("timer:storage",)
    )
