"""Claims tasks and calls the handler; leases, due times, recovery."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Coroutine, Mapping
from typing import Any, Final

from msgspec import Struct

from autohands.protocols.changes import Change, Finish, Park
from autohands.protocols.errors import Fenced, StorageUnavailable
from autohands.protocols.events import Durable, TaskWaiting
from autohands.protocols.storage import Handler, Serve
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id, now_ms
from autohands.storage import claims, endings, executors, tasks
from autohands.storage.claims import Claimed, Scope, Wanted, Who
from autohands.storage.database import Database
from autohands.storage.journal import Journal
from autohands.storage.lease import Flusher, Lease
from autohands.storage.resting import BACKOFF, BACKOFF_WAITS
from autohands.storage.transaction import Transaction

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS: Final = 10.0
BACK_OFF_SECONDS: Final = 1.0
_PUT_OFF: Final = TaskWaiting(reason=BACKOFF, waits=BACKOFF_WAITS)


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
        self, handler: Handler, *, slots: int, queues: Serve = lambda: ("default",), root: str | None = None
    ) -> None:
        """Run until cancelled, or with `root` until that task has ended: claim, call `handler(lease)`, renew, recover.

        At most `slots` tasks run at once. `root` limits it to one task and its descendants, and to interrupted
        predecessors in that task's session; these are served whatever their queue. A handler is cancelled when its task
        is ("cancelled" is the argument of its CancelledError) and when serving stops ("stopping").

        Raises:
            NotFound: There is no task `root`.
        """
        scope = Scope(queues, root)
        service = _Service(self, self._parts, handler, slots, scope)
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

    def changed(self) -> None:
        """Another process has committed something."""
        for service in self._services:
            service.wake(foreign=True)

    def committed(self, tx: Transaction) -> None:
        """Something was committed here."""
        if not all(map(self.lease, (*tx.cancelled, *tx.paused, *tx.spoken))):
            self.changed()  # it may have been claimed just now, and is not known to run here yet
        self._pass_on(tx)

    def _pass_on(self, tx: Transaction) -> None:
        for service in self._services:
            if tx.ready or (service.rooted and "ended" in tx.kinds):
                service.wake()
            for task in tx.cancelled:
                service.cancel(task)
        for task in tx.paused:
            if lease := self.lease(task):
                lease.pausing = True
        for task in tx.spoken:
            if lease := self.lease(task):
                lease.unread = True

    def left(self) -> None:
        """A task has left its slot here: the limit of a queue may let another one start."""
        for service in self._services:
            if service.held:
                service.wake()

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
    """One task that runs here: its lease, and the handler at work in a task of its own."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.cancelled = False
        self._work: asyncio.Future[None] | None = None

    def cancel(self, reason: str = "cancelled") -> None:
        """The task is to be cancelled."""
        if not self.cancelled:
            self.cancelled = True
            if self._work is not None:
                self._work.cancel(reason)

    async def run(self, handler: Handler) -> None:
        """Call the handler, and see to it that the task does not stay running."""
        if self.cancelled:
            await self._conclude(endings.CANCELLED)
            return
        self._work = work = asyncio.ensure_future(handler(self.lease))
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            work.cancel("stopping")
            await asyncio.wait([work])
            await self._put_down()
            raise
        if change := self._last_change(work):
            await self._conclude(*change)

    def _last_change(self, work: asyncio.Future[None]) -> tuple[Change, Durable | None] | None:
        """How the task leaves the state of running, if the handler has not seen to that."""
        if work.cancelled():
            return (endings.CANCELLED if self.cancelled else _failed("the handler cancelled itself")), None
        error = work.exception()
        if isinstance(error, Fenced):
            return None
        if isinstance(error, StorageUnavailable):
            logger.error("task %s parks: %s", self.lease.record.id, error)
            until = now_ms() + int(BACK_OFF_SECONDS * 1000)
            return Park(reason=BACKOFF, waits=BACKOFF_WAITS, until=until), _PUT_OFF
        if error is None:
            return _failed("the handler returned without ending or parking the task"), None
        logger.error("task %s crashed", self.lease.record.id, exc_info=error)
        return _failed(_told(error)), None

    async def _conclude(self, change: Change, event: Durable | None = None) -> None:
        """Commit the last change, however long the disk refuses. Where something that was gathered cannot be recorded,
        the task fails without it."""
        refused, seconds = False, 0.0
        while not self.lease.over:
            await asyncio.sleep(seconds)
            seconds = BACK_OFF_SECONDS
            failpoint("engine.concluding")
            error = await _error_of(self.lease.conclude(change, event))
            if error is None or isinstance(error, Fenced):
                return
            if not isinstance(error, StorageUnavailable):
                logger.error("task %s cannot be concluded", self.lease.record.id, exc_info=error)
                self.lease.forget()
                change, event = _failed(_told(error)), None
                refused, seconds = True, BACK_OFF_SECONDS if refused else 0.0

    async def _put_down(self) -> None:
        """Serving stops: what the run has gathered is recorded; the task itself is released by `resign`."""
        if not self.lease.over:
            error = await _error_of(self.lease.commit())
            if error is not None and not isinstance(error, Fenced | StorageUnavailable):
                logger.error("task %s: what it gathered last is lost", self.lease.record.id, exc_info=error)


async def _error_of(work: Coroutine[Any, Any, object]) -> BaseException | None:
    """What a piece of work raises, whatever that is, instead of its result."""
    (outcome,) = await asyncio.gather(work, return_exceptions=True)
    return outcome if isinstance(outcome, BaseException) else None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode()


def _failed(error: str) -> Finish:
    return Finish(state="failed", reason="failed", error=error)


class _Service:
    """One call of `serve`: an executor with slots. `held` says that the limit of a queue keeps ready tasks back.

    It looks at the tables when something was committed that may be of interest to it, when time demands it, and when a
    slot gets free of which it may have been `_short`: tasks may wait that it had no slot for, or it is looking now.
    """

    def __init__(self, engine: Engine, parts: Parts, handler: Handler, slots: int, scope: Scope) -> None:
        self._engine = engine
        self._parts = parts
        self._handler = handler
        self._slots = slots
        self._scope = scope
        self._woken = asyncio.Event()
        self._foreign = False
        self._short = True
        self.held = False
        self.who = Who(new_id("exe"), executors.this_process())
        self.activations: dict[str, _Activation] = {}
        self._running: dict[asyncio.Task[None], _Activation] = {}

    @property
    def rooted(self) -> bool:
        """Whether it serves one task, and ends with it."""
        return self._scope.root is not None

    def wake(self, *, foreign: bool = False) -> None:
        """Look at the tables again; with `foreign`, at what other processes want as well."""
        self._foreign = self._foreign or foreign
        self._woken.set()

    def cancel(self, task: str) -> None:
        """Cancel a task if it runs here."""
        if activation := self.activations.get(task):
            activation.cancel()

    async def run(self) -> None:
        """Claim and run until cancelled or until the root has ended.

        Raises:
            NotFound: There is no such root.
        """
        if root := self._scope.root:
            await self._parts.database.write(lambda tx: tasks.key_of(tx.connection, root))
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._woken.clear()
                    patience = await self._look(group)
                    if patience is None:
                        break
                    await self._rest(patience)
                for running, activation in self._running.items():
                    if not activation.lease.over:
                        running.cancel()
        finally:
            with contextlib.suppress(StorageUnavailable, sqlite3.Error):
                await self._parts.database.write(lambda tx: claims.resign(tx, self.who.id))

    async def _look(self, group: asyncio.TaskGroup) -> float | None:
        """Look once; how many seconds there is time, or None if all is done."""
        free, foreign = self._slots - len(self.activations), self._foreign
        self._foreign, self._short = False, True
        try:
            found = await self._parts.database.write(
                lambda tx: claims.sweep(tx, self.who, self._scope, free=free, foreign=foreign)
            )
        except (StorageUnavailable, sqlite3.Error) as error:
            logger.error("cannot look for tasks: %s", error)
            self._foreign = self._foreign or foreign
            return BACK_OFF_SECONDS
        failpoint("engine.claimed")
        self._short, self.held = len(found.claimed) >= free, found.held
        for claimed in found.claimed:
            self._start(group, claimed)
        if found.wanted is not None:
            self._heed({each.task: each for each in found.wanted})
        if found.root_ended:
            return None
        if found.next_at is None:
            return LOOK_AGAIN_SECONDS
        return min((found.next_at - now_ms() + 1) / 1000, LOOK_AGAIN_SECONDS)

    def _heed(self, wanted: Mapping[str, Wanted]) -> None:
        """What others want of the tasks that run here; one that is not known to run here any more was taken over."""
        for task, activation in list(self.activations.items()):
            lease, found = activation.lease, wanted.get(task)
            if found is None:
                if not lease.over:
                    activation.cancel("lost")
                continue
            if found.control == "cancel":
                activation.cancel()
            lease.pausing = lease.pausing or found.control == "pause"
            lease.unread = lease.unread or found.spoken

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._woken.wait()

    def _start(self, group: asyncio.TaskGroup, claimed: Claimed) -> None:
        task = claimed.record.id
        stream = self._parts.journal.lease(task, claimed.last_seq, claimed.record.attempt)
        if lost := self.activations.get(task):
            lost.cancel("lost")  # somebody else had it meanwhile
        lease = Lease(claimed, self._parts.database, stream, self._parts.flusher)
        activation = self.activations[task] = _Activation(lease)
        running = group.create_task(activation.run(self._handler), name=task)
        self._running[running] = activation
        running.add_done_callback(lambda done: self._leave(task, done))

    def _leave(self, task: str, running: asyncio.Task[None]) -> None:
        if self.activations.get(task) is self._running.pop(running):
            del self.activations[task]
            self._parts.journal.release(task)
        if self._short:
            self.wake()
        self._engine.left()
