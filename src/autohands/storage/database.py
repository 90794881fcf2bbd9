"""The one writer: a thread that owns the connection and commits units of work in groups."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from autohands.protocols.errors import AutoHandsError, StorageUnavailable
from autohands.protocols.upkeep import Loss
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import now_ms
from autohands.storage import mark as marks
from autohands.storage.connection import (
    connect,
    is_damage,
    is_full,
    is_writable,
    needs_reopening,
    unavailable,
)
from autohands.storage.damage import RESERVE, open_whole
from autohands.storage.files import private_directory
from autohands.storage.log import Log
from autohands.storage.mark import MARK, Mark
from autohands.storage.migrations import check_readable
from autohands.storage.neighbours import Neighbours
from autohands.storage.reserve import Reserve, must_be_recorded
from autohands.storage.transaction import Transaction, Unit
from autohands.storage.work import Work, do_apart, do_together, ignore, nothing

T = TypeVar("T")
logger = logging.getLogger(__name__)

MOST_UNITS: Final = 512
LOOK_SECONDS: Final = 0.15
RENEW_SECONDS: Final = 10.0


class Database:
    """Commits units of work.

    Each unit stands or falls by itself; a group shares one transaction and one sync to disk. A unit may be run twice:
    where one of its group fails, all are rolled back and run again. `committed` is called on the event loop for each
    committed unit, before its `landed`. `changed` is called there when another process has committed something, as long
    as anybody `watching` wants to know. `followers` is called on the writer's thread where a task has got ready in a
    group: what it gives is done at the group's end, in the same transaction. A file that cannot be written is only
    looked at: every unit is refused until it can be. `loss` says what it has cost if the file was found damaged at the
    start.
    """

    def __init__(self, path: Path, committed: Callable[[Transaction], None], changed: Callable[[], None]) -> None:
        self.path = path
        self._committed = committed
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._inbox: SimpleQueue[Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._live, name="autohands-writer", daemon=True)
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._closed = False
        self._under_way: list[Work] = []
        self._connection: sqlite3.Connection | None = None
        self._watchers = 0
        self._neighbours = Neighbours(path)
        self._looked = 0.0
        self._renewed = 0.0
        self._renewal: Unit[object] | None = None
        self._mark = Mark(path.with_name(MARK))
        self._reserve = Reserve(path.with_name(RESERVE))
        self._identity = ""
        self._following: list[Work] = []
        self._ill: str | None = None
        self.gate = threading.Event()  # readers begin while it is set
        self.gate.set()
        self._log = Log(path, self.gate)
        self.read_only = False
        self.loss: Loss | None = None
        self.followers: Callable[[], list[Work]] = list

    # --- on the event loop ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start the writer; make or migrate the file.

        Raises:
            ConfigError: The directory or the file is not ours. StorageUnavailable: It cannot be opened.
        """
        self._thread.start()
        await self._opened

    async def close(self) -> None:
        """Commit what is queued and end the writer."""
        if not self._closed:
            self._closed = True
            self._inbox.put(None)
        await self._ended
        self._thread.join()

    def submit(self, unit: Unit[Any], landed: Callable[[Work], None]) -> Work:
        """Queue a unit and wake the writer.

        Raises:
            StorageUnavailable: The database is closed.
        """
        if self._closed:
            raise StorageUnavailable(f"{self.path} is closed", hint="the program is stopping")
        work = Work(unit, landed)
        self._inbox.put(work)
        return work

    async def write(self, unit: Unit[T], first: Callable[[Work], None] = ignore) -> T:
        """Run a unit; its result once it is synced to disk. Raises what the unit raises, and `StorageUnavailable`.

        `first` is called with it when it has landed, before anybody hears of what was committed after it.
        """
        future: asyncio.Future[T] = self._loop.create_future()

        def landed(work: Work) -> None:
            try:
                first(work)
            finally:
                if work.error is not None and not future.done():
                    future.set_exception(work.error)
                elif not future.done():
                    future.set_result(work.result)

        self.submit(unit, landed)
        return await future

    def renew_with(self, unit: Unit[object] | None) -> None:
        """Have the writer run `unit` by itself every ten seconds from now on, or nothing."""
        if self._renewal is None:
            self._renewed = time.monotonic()
        self._renewal = unit
        self._nudge()

    def suspect(self) -> None:
        """Damage was met: the next start checks the whole file."""
        self._mark.suspect()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While entered, what other processes commit is noticed within 150 ms."""
        self._watchers += 1
        if self._watchers == 1:
            self._nudge()
        try:
            yield
        finally:
            self._watchers -= 1

    def _nudge(self) -> None:
        """Make the writer work out anew how long it may sleep."""
        if not self._closed:
            self._inbox.put(Work(nothing, ignore))

    def _land(self, works: list[Work]) -> None:
        landing = iter(works)
        try:
            for work in landing:
                self._land_one(work)
        finally:  # whatever one of them raises, the others land
            if others := list(landing):
                self._land(others)

    def _land_one(self, work: Work) -> None:
        try:
            failpoint("database.landing")
            if work.error is None and work.tx is not None:
                self._committed(work.tx)
        finally:
            work.landed(work)
            work.let_go()

    def _give_up(self) -> None:
        """The writer has ended, as it was told to or not: who still waits for it, or comes later, is told so."""
        self._closed = True
        works, self._under_way, self._following = self._under_way + self._following, [], []
        with contextlib.suppress(Empty):
            while True:
                works += filter(None, [self._inbox.get_nowait()])
        error = StorageUnavailable(f"{self.path}: the writer has ended", hint="start the program anew")
        for work in works:
            work.error = error
        self._land(works)
        _fail(self._opened, error)

    # --- on the writer's thread ----------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            self._begin()
            self._call(_succeed, self._opened)
            while self._serve():
                pass
        except AutoHandsError as error:
            self._call(_fail, self._opened, error)
        except (sqlite3.Error, OSError) as error:
            self._call(_fail, self._opened, unavailable(error, self.path))
        finally:
            if self._connection is not None:
                self._connection.close()
            self._mark.close()
            self._call(self._give_up)
            self._call(_succeed, self._ended)

    def _begin(self) -> None:
        private_directory(self.path.parent)
        self.read_only = not is_writable(self.path)
        if self.read_only:
            check_readable(self.path)
            return
        self._mark.open()
        found = open_whole(self.path, self._mark)
        self._connection, self._identity, self.loss = found.connection, found.height.identity, found.loss
        self._reserve.make()
        self._neighbours.begin(self._connection)

    def _serve(self) -> bool:
        works, going_on = self._next()
        if works:
            self._under_way = works
            self._commit(works)
            self._under_way = []
            self._log.grown(self._connection)
        else:
            self._log.rest(self._connection)
        now = time.monotonic()
        if self._watchers and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look()
        if self._renewal is not None and now - self._renewed >= RENEW_SECONDS:
            self._renewed = now
            self._commit([Work(self._renewal, ignore)])
        return going_on

    def _next(self) -> tuple[list[Work], bool]:
        """The units that wait, at most 512, and whether there will be more; waits for the first."""
        inbox, works = self._inbox, []
        try:
            work = inbox.get(timeout=self._patience())
            while work is not None:
                works.append(work)
                if len(works) == MOST_UNITS or inbox.empty():
                    return works, True
                work = inbox.get_nowait()
        except Empty:
            return works, True
        return works, False

    def _patience(self) -> float | None:
        """How many seconds the writer may sleep."""
        now, waits = time.monotonic(), []
        if self._watchers:
            waits.append(self._looked + LOOK_SECONDS - now)
        if self._renewal is not None:
            waits.append(self._renewed + RENEW_SECONDS - now)
        if (idle := self._log.patience) is not None:
            waits.append(idle)
        return max(min(waits), 0.0) if waits else None

    def _commit(self, works: list[Work]) -> None:
        """Commit a group. Where there is no room, only what must be recorded gets what was set aside for it."""
        wanted = works
        if self._reserve.given_up and not self._reserve.is_regained():
            wanted = self._refuse_ordinary(works)
        if not self._succeeds(wanted) and self._reserve.given_up:
            self._succeeds([work for work in wanted if must_be_recorded(work.unit)])
        works, self._following = works + self._following, []
        self._call(self._land, works)

    def _refuse_ordinary(self, works: list[Work]) -> list[Work]:
        refusal = StorageUnavailable(f"{self.path}: the disk is full", hint="free some space")
        for work in works:
            if not must_be_recorded(work.unit):
                work.error = refusal
        return [work for work in works if work.error is None]

    def _succeeds(self, works: list[Work]) -> bool:
        """Commit these units or refuse them."""
        if not works:
            return True
        try:
            self._transact(self._connected(), works)
        except sqlite3.Error as error:
            self._refuse(works, error)
            return False
        except (AutoHandsError, OSError) as error:  # it cannot be opened again
            for work in works + self._following:
                work.error = unavailable(error, self.path) if isinstance(error, OSError) else error
            return False
        if self._ill is not None and not self._reserve.given_up:
            self._ill = None
            logger.warning("%s can be written again", self.path)
        return True

    def _transact(self, connection: sqlite3.Connection, works: list[Work]) -> None:
        """Commit a group: all at once, or where a unit fails, each for itself."""
        connection.execute("BEGIN IMMEDIATE")
        now, before = now_ms(), connection.total_changes
        if not (do_together(connection, works, now) and do_together(connection, self._follow(works), now)):
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            before = connection.total_changes
            do_apart(connection, works, now)
            do_apart(connection, self._follow(works), now)
        height = marks.count(connection, self._identity, now) if connection.total_changes != before else None
        failpoint("database.commit")
        connection.execute("COMMIT")
        failpoint("database.committed")
        if height is not None:
            self._mark.reach(height)

    def _follow(self, works: list[Work]) -> list[Work]:
        """What is still to be done in this transaction; the same where it is tried again. Nothing on a full disk."""
        if not self._following and any(work.tx is not None and work.tx.ready for work in works):
            self._following = self.followers()
        return [] if self._reserve.given_up else self._following

    def _refuse(self, works: list[Work], error: sqlite3.Error) -> None:
        """Nothing of this group was recorded."""
        refusal = unavailable(error, self.path)
        for work in works + self._following:
            work.error = work.error or refusal
        if self._ill != str(error):
            self._ill = str(error)
            logger.error("nothing can be recorded: %s; %s", refusal, refusal.hint)
        if is_damage(error):
            self._mark.suspect()
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if needs_reopening(error) or connection.in_transaction:
                self._connection = None
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
        if is_full(error, self.path):
            self._reserve.give_up()

    def _connected(self) -> sqlite3.Connection:
        """The connection, opened anew where the last one failed.

        Raises:
            StorageUnavailable: The file can only be looked at.
        """
        if self._connection is None and self.read_only:
            self._begin()
            if self.read_only:
                raise StorageUnavailable(
                    f"{self.path} cannot be written: it can only be looked at",
                    hint="look at its owner, its mode and the mount",
                )
        if self._connection is None:
            self._connection = connect(self.path)
            self._neighbours.begin_anew()
        return self._connection

    def _look(self) -> None:
        """Tell the loop if another process has committed something."""
        if self.read_only:
            return
        with contextlib.suppress(sqlite3.Error):
            if self._neighbours.have_committed(self._connected()):
                self._call(self._changed)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(function, *arguments)


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
