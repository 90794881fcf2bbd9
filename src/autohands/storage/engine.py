"""Claims tasks and calls the handler; leases, due times, recovery."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sqlite3
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from autohands.protocols.errors import StorageUnavailable
from autohands.protocols.storage import Handler, Serve
from autohands.sdk.identity import new_id, now_ms
from autohands.storage import claims, executors, tasks
from autohands.storage.activation import BACK_OFF_SECONDS, Activation
from autohands.storage.claims import Claimed, Scope, Sweep, Wanted, Who
from autohands.storage.database import Database
from autohands.storage.journal import Journal
from autohands.storage.lease import Flusher, Lease
from autohands.storage.slots import Slots
from autohands.storage.transaction import Transaction
from autohands.storage.work import Work

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS: Final = 10.0


class Parts(Struct, frozen=True):
    """What the engine is made of."""

    database: Database
    journal: Journal
    flusher: Flusher


class Engine:
    """Drives tasks on this database. Several may serve at once, here and in other processes: leases keep them apart."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._services: tuple[_Service, ...] = ()  # a new one each time: the writer's thread reads it too
        parts.database.followers = self._follow

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
        self._services = (*self._services, service)
        self._renew()
        try:
            with self._parts.database.watching():
                await service.run()
        finally:
            self._services = tuple(each for each in self._services if each is not service)
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
        for service in self._services:
            if service.rooted and (tx.ready or "ended" in tx.kinds):
                service.wake()
            for task in tx.cancelled:
                service.cancel(task)
        for task in tx.paused:
            if lease := self.lease(task):
                lease.pausing = True
        for task in tx.spoken:
            if lease := self.lease(task):
                lease.unread = True

    def _follow(self) -> list[Work]:
        """On the writer's thread: a task has got ready; who serves its queue may claim it in the same transaction."""
        return [service.follow() for service in self._services if not service.rooted]

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


class _Look:
    """A unit of work: a look at the tables. What it claims has its slots at once, and loses them with a rollback.

    A whole look also sees to what time demands and, where it is `foreign`, to what other processes want.
    """

    __slots__ = ("_foreign", "_service", "_taken", "_whole")

    def __init__(self, service: _Service, *, whole: bool, foreign: bool = False) -> None:
        self._service = service
        self._whole = whole
        self._foreign = foreign
        self._taken = 0

    def __call__(self, tx: Transaction) -> Sweep:
        """Look, on the writer's thread."""
        service, slots = self._service, self._service.slots
        slots.take(-self._taken)
        self._taken = 0
        service.short = True  # before the free slots are counted: one that gets free after that is noticed
        free = slots.free if service.serving else 0
        if self._whole:
            found = claims.sweep(tx, service.who, service.scope, free=free, foreign=self._foreign)
        else:
            found = claims.claim_ready(tx, service.who, service.scope, free=free)
        self._taken = len(found.claimed)
        slots.take(self._taken)
        service.short = self._taken >= free
        return found

    def landed(self, work: Work) -> None:
        """On the event loop: begin what was claimed, before anybody hears of what was committed after it."""
        if work.error is None and work.result is not None:
            self._service.begin(work.result)
        else:
            self._service.slots.give_back(self._taken)


class _Service:
    """One call of `serve`: an executor with slots. `held` says that the limit of a queue keeps ready tasks back.

    What gets ready here is claimed in the same transaction, by `follow`. A whole look is taken when time demands it,
    when others may want something, and when a slot gets free of which it may have been `short`: tasks may wait that it
    had no slot for, or it is looking now.
    """

    def __init__(self, engine: Engine, parts: Parts, handler: Handler, slots: int, scope: Scope) -> None:
        self._engine = engine
        self._parts = parts
        self._handler = handler
        self._woken = asyncio.Event()
        self._foreign = False
        self._group: asyncio.TaskGroup | None = None
        self._look_at = math.inf
        self.slots = Slots(slots)
        self.scope = scope
        self.short = True
        self.held = False
        self.who = Who(new_id("exe"), executors.this_process())
        self.activations: dict[str, Activation] = {}
        self._running: dict[asyncio.Task[None], Activation] = {}

    @property
    def rooted(self) -> bool:
        """Whether it serves one task, and ends with it."""
        return self.scope.root is not None

    @property
    def serving(self) -> bool:
        """Whether what it claims can still begin here. What was claimed until then, `resign` releases."""
        return self._group is not None

    def wake(self, *, foreign: bool = False) -> None:
        """Look at the tables again; with `foreign`, also at what others want of the tasks that run here."""
        self._foreign = self._foreign or foreign
        self._woken.set()

    def cancel(self, task: str) -> None:
        """Cancel a task if it runs here."""
        if activation := self.activations.get(task):
            activation.cancel()

    def follow(self) -> Work:
        """On the writer's thread: claim what has got ready in the transaction that is open."""
        look = _Look(self, whole=False)

        def landed(work: Work) -> None:
            look.landed(work)
            found: Sweep | None = work.result if work.error is None else None
            if found is None or (found.next_at is not None and found.next_at < self._look_at):
                self.wake()

        return Work(look, landed)

    async def run(self) -> None:
        """Claim and run until cancelled or until the root has ended.

        Raises:
            NotFound: There is no such root.
        """
        if root := self.scope.root:
            await self._parts.database.write(lambda tx: tasks.key_of(tx.connection, root))
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await self._serve()
                finally:
                    self._group = None
                for running, activation in self._running.items():
                    if not activation.lease.over:
                        running.cancel()
        finally:
            with contextlib.suppress(StorageUnavailable, sqlite3.Error):
                await self._parts.database.write(lambda tx: claims.resign(tx, self.who.id))

    async def _serve(self) -> None:
        while True:
            self._woken.clear()
            self._look_at = math.inf
            patience = await self._look()
            if patience is None:
                break
            self._look_at = now_ms() + patience * 1000
            await self._rest(patience)

    async def _look(self) -> float | None:
        """Look once; how many seconds there is time, or None if all is done."""
        foreign, self._foreign = self._foreign, False
        look = _Look(self, whole=True, foreign=foreign)
        try:
            found = await self._parts.database.write(look, look.landed)
        except (StorageUnavailable, sqlite3.Error) as error:
            logger.error("cannot look for tasks: %s", error)
            self._foreign = self._foreign or foreign
            return BACK_OFF_SECONDS
        if found.root_ended:
            return None
        if found.next_at is None:
            return LOOK_AGAIN_SECONDS
        return min((found.next_at - now_ms() + 1) / 1000, LOOK_AGAIN_SECONDS)

    def begin(self, found: Sweep) -> None:
        """Take in what a look has brought."""
        self.held = found.held
        if self._group is not None:
            for claimed in found.claimed:
                self._start(self._group, claimed)
        if found.wanted is not None:
            self._heed({each.task: each for each in found.wanted})

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
        activation = self.activations[task] = Activation(lease)
        running = group.create_task(activation.run(self._handler), name=task)
        self._running[running] = activation
        running.add_done_callback(lambda done: self._leave(task, done))

    def _leave(self, task: str, running: asyncio.Task[None]) -> None:
        if self.activations.get(task) is self._running.pop(running):
            del self.activations[task]
            self._parts.journal.release(task)
        self.slots.give_back()
        if self.short:
            self.wake()
        self._engine.left()
