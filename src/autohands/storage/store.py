"""The one door to what is durable: commits and queries, with the journal, the engine and the blobs beside it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from autohands.protocols.changes import Change, Enqueue
from autohands.protocols.costs import By, Cost, Used
from autohands.protocols.process import JobRow
from autohands.protocols.records import ApprovalRecord, Hold, SessionRecord, Step, Word
from autohands.protocols.schedule import SaveSchedule
from autohands.protocols.storage import Kind
from autohands.protocols.task import Child, TaskRecord, TaskState
from autohands.protocols.upkeep import Backup, Loss, Retained, Retention
from autohands.sdk.identity import new_id, now_ms
from autohands.storage import (
    approvals,
    costs,
    executors,
    holds,
    interrupted,
    jobs,
    ledger,
    sessions,
    signals,
    steps,
    tasks,
)
from autohands.storage.backups import FOLDER, back_up, prune
from autohands.storage.bells import Bell, Bells
from autohands.storage.blobs import Blobs
from autohands.storage.changes import Applicable, apply
from autohands.storage.database import Database
from autohands.storage.engine import Engine, Parts
from autohands.storage.journal import Journal
from autohands.storage.lease import Flusher
from autohands.storage.outbox import OutboxRows
from autohands.storage.queues import QueueRows
from autohands.storage.readers import Readers
from autohands.storage.retention import Keeper
from autohands.storage.schedule_rows import ScheduleRows
from autohands.storage.schedules import PlacedSchedule
from autohands.storage.tasks import Placed
from autohands.storage.topics import TopicRows
from autohands.storage.transaction import Transaction
from autohands.storage.workspaces import find_place

T = TypeVar("T")
logger = logging.getLogger(__name__)


@asynccontextmanager
async def open(path: Path) -> AsyncIterator[Store]:
    """Open the database at `path`, made if missing; `blobs/` and `backups/` lie beside it.

    Raises:
        ConfigError: The directory or the file is not ours, or a newer program wrote it.
        StorageUnavailable: It cannot be opened; the text has the remedy.
    """
    store = Store(path)
    try:
        await store.start()
        yield store
    finally:
        await store.stop()


class Store:
    """`protocols.storage.Storage` on one SQLite file. `executor` names this program in the rows of its jobs."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, self._committed, self._changed)
        self._readers = Readers(path, self._database.suspect, self._database.gate)
        self._flusher = Flusher()
        self._process = executors.this_process()
        self.executor = new_id("exe")
        self.journal = Journal(self._database, self._readers)
        self.engine = Engine(Parts(self._database, self.journal, self._flusher))
        self.blobs = Blobs(path.parent / "blobs", self._database)
        self.schedules = ScheduleRows(self._readers)
        self.outbox = OutboxRows(self._readers)
        self.topics = TopicRows(self._readers)
        self.queues = QueueRows(self._readers)
        self._bells = Bells()
        self._keeper = Keeper(path, self._database, self._readers, self.blobs)
        self._path = path

    async def start(self) -> None:
        """Open the file, and mark jobs whose program is gone as lost."""
        await self._database.open()
        lost = await self._read(lambda connection: jobs.orphaned(connection, self._process))
        if lost and not self._database.read_only:
            await self._database.write(lambda tx: jobs.lose(tx, lost))

    async def stop(self) -> None:
        """Write down what there is and close the file."""
        self._flusher.close()
        await self._readers.close()
        await self._database.close()

    def _committed(self, tx: Transaction) -> None:
        for task, entries in tx.entries:
            self.journal.show(task, entries)
        self.engine.committed(tx)
        self._bells.ring(tx.kinds)
        for alarm in tx.alarms:
            logger.error("%s", alarm)

    def _changed(self) -> None:
        self.journal.refresh()
        self.engine.changed()
        self._bells.ring_all()

    @contextmanager
    def listen(self, kind: Kind) -> Iterator[Bell]:
        """A bell that rings when something of a kind has changed, here or in another process."""
        with self._database.watching(), self._bells.listen(kind) as bell:
            yield bell

    # --- commits ---------------------------------------------------------------------------------------------------

    async def commit(self, *changes: Change) -> list[Any]:
        """Apply changes that need no lease, all or nothing; durable when it returns. Returns each change's result."""
        ready = [await self._placed(change) for change in changes]
        return await self._database.write(lambda tx: [apply(tx, change) for change in ready])

    async def _placed(self, change: Change) -> Applicable:
        """Look up the workspace of an `Enqueue` or a schedule here: a slow disk must not hold the writer up."""
        if isinstance(change, Enqueue) and change.task.workspace:
            workspace = change.task.workspace
            place = await self._readers.call(lambda: find_place(workspace))
            return Placed(change.task, place, change.depth, change.children, change.descendants)
        if isinstance(change, SaveSchedule) and change.schedule.task.workspace:
            workspace = change.schedule.task.workspace
            return PlacedSchedule(change, await self._readers.call(lambda: find_place(workspace)))
        return change

    async def save_job(self, row: JobRow) -> None:
        """Insert or replace a background process's row."""
        await self._database.write(lambda tx: jobs.save(tx, row, self.executor, self._process))

    # --- upkeep ----------------------------------------------------------------------------------------------------

    @property
    def loss(self) -> Loss | None:
        """What the start has cost, if the file was damaged and an older state of it had to take its place."""
        return self._database.loss

    async def retain(self, policy: Retention) -> Retained:
        """Delete what is older than the policy says, in small units; what went. Raises `StorageUnavailable`."""
        return await self._keeper.retain(policy)

    async def back_up(self, keep: int) -> Backup:
        """Copy the database into `backups/` while it is in use, check the copy, and keep the newest `keep` of them.

        Raises:
            StorageUnavailable: The copy cannot be written, or the database is damaged; older copies are kept then.
        """
        stop = threading.Event()
        try:
            made = await asyncio.to_thread(back_up, self._path, stop=stop)
        except asyncio.CancelledError:
            stop.set()
            raise
        await self._readers.call(lambda: prune(self._path.parent / FOLDER, keep))
        return made

    # --- queries ---------------------------------------------------------------------------------------------------

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return await self._readers.read(query)

    async def task(self, task: str) -> TaskRecord:
        """One task, by its id or a unique beginning of at least 8 characters. Raises `NotFound` with the nearest."""
        return await self._read(lambda connection: tasks.find(connection, task))

    async def tasks(
        self, *, session: str | None = None, states: Sequence[TaskState] = (), limit: int = 100
    ) -> list[TaskRecord]:
        """Tasks, newest first."""
        return await self._read(lambda connection: tasks.newest(connection, session, states, limit))

    async def ended(self, after: tuple[int, int], limit: int = 1000) -> list[TaskRecord]:
        """Tasks that have ended, in that order, later than `after`: a time in UTC ms, and a `seq` within it."""
        return await self._read(lambda connection: tasks.ended(connection, after, limit))

    async def interrupted(self) -> list[str]:
        """The ids of tasks that have not ended, although nobody works on them any more: to be resumed or cancelled."""
        return await self._read(lambda connection: interrupted.find(connection, self._process, now_ms()))

    async def steps(self, task: str) -> list[Step]:
        """The steps of a task, by turn and index."""
        return await self._read(lambda connection: steps.read(connection, task))

    async def session(self, session: str, principal: str = "owner") -> SessionRecord:
        """A session by id or name. Raises `NotFound`."""
        return await self._read(lambda connection: sessions.get(connection, session, principal))

    async def sessions(self, *, search: str = "", principal: str = "owner", limit: int = 100) -> list[SessionRecord]:
        """Sessions, most recently used first; `search` looks into titles and into what was said."""
        return await self._read(lambda connection: sessions.search(connection, search, principal, limit))

    async def approvals(self, *, task: str | None = None, pending: bool = True) -> list[ApprovalRecord]:
        """Approvals, oldest first."""
        return await self._read(lambda connection: approvals.oldest(connection, task, pending=pending))

    async def permitted(self, session: str) -> list[dict[str, Any]]:
        """The rules by which a person has allowed calls for the rest of a session, oldest first."""
        return await self._read(lambda connection: approvals.permitted(connection, session))

    async def asked(self, n: int) -> int | None:
        """When the n-th last question was put to a person, in UTC ms; None where there were not so many."""
        return await self._read(lambda connection: approvals.asked(connection, n))

    async def held(self, place: str, session: str) -> Hold | None:
        """A write lease in a workspace that a running task of another session has; None where there is none."""
        return await self._read(lambda connection: holds.held(connection, place, session, now_ms()))

    async def words(self, task: str) -> list[Word]:
        """Words said to a task, in order."""
        if lease := self.engine.lease(task):
            lease.unread = False
        return await self._read(lambda connection: signals.words(connection, task))

    async def signals(self, task: str) -> dict[str, dict[str, Any]]:
        """The payloads of a task's signals, by topic; of several with one topic the last."""
        return await self._read(lambda connection: signals.payloads(connection, task))

    async def spent(self, task: str | None = None) -> int:
        """Micro-USD spent and reserved: what is in a task's purse, or today."""
        return await self._read(lambda connection: ledger.spent(connection, task, now_ms()))

    async def used(self, task: str) -> Used:
        """What a task has used so far."""
        return await self._read(lambda connection: costs.used(connection, task))

    async def costs(self, by: By, since: str) -> list[Cost]:
        """What model calls have cost since a UTC day, by one thing."""
        return await self._read(lambda connection: costs.costs(connection, by, since))

    async def children(self, task: str) -> list[Child]:
        """The tasks that a task has started, in that order."""
        return await self._read(lambda connection: costs.children(connection, task))

    async def jobs(self, session: str | None = None) -> list[JobRow]:
        """Rows of background processes, oldest first."""
        return await self._read(lambda connection: jobs.read(connection, session))
