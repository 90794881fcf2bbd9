"""What goes on, told as it happens: tasks that begin, wait and end, times of schedules."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from autohands.daemon.telling import event
from autohands.protocols.errors import NotFound
from autohands.protocols.loop import Middleware
from autohands.protocols.schedule import Occurrence
from autohands.protocols.storage import Handler, Lease, Storage
from autohands.protocols.task import TaskRecord
from autohands.sdk.identity import now_ms

logger = logging.getLogger(__name__)

MOST_BEGUN: Final = 10_000
MOST_LEFT: Final = 1_000
PAGE: Final = 500
_MICRO: Final = 1_000_000


class Progress:
    """Tells of the tasks that this program works on. That one has ended it learns from the storage: a task may end in
    many ways, and while nobody runs it.

    `middleware` goes to the queue, `run` into the loop as a service.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._begun: dict[str, int] = {}
        self._left: asyncio.Queue[str] = asyncio.Queue(MOST_LEFT)
        self._at = now_ms()
        self._told: set[str] = set()  # of those that ended at that very time

    @property
    def middleware(self) -> Middleware:
        """What stands around the handling of each task."""
        return Middleware(name="serve-progress", handle=self._handle, order=-100)

    async def run(self) -> None:
        """Tell of what ends and what waits, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_ends(), name="progress: ends")
            tasks.create_task(self._tell_waits(), name="progress: waits")

    def occurred(self, occurrence: Occurrence) -> None:
        """Tell of a time of a schedule."""
        fields = {"schedule": occurrence.schedule, "occurrence": occurrence.id, "state": occurrence.state}
        said = f"schedule {occurrence.schedule}: {occurrence.id.rpartition('@')[2]} is {occurrence.state}"
        said += f", task {occurrence.task}" if occurrence.task else ""
        said += f" ({occurrence.reason})" if occurrence.reason else ""
        extra = event("schedule", **fields, task=occurrence.task, reason=occurrence.reason or None)
        logger.info("%s", said, extra=extra)

    # --- begins ----------------------------------------------------------------------------------------------------

    async def _handle(self, lease: Lease, onward: Handler) -> None:
        record = lease.record
        self._begin(record, lease.attempt)
        try:
            await onward(lease)
        finally:
            if not self._left.full():
                self._left.put_nowait(record.id)

    def _begin(self, record: TaskRecord, attempt: int) -> None:
        if len(self._begun) >= MOST_BEGUN:
            del self._begun[next(iter(self._begun))]
        self._begun.setdefault(record.id, now_ms())
        logger.info(
            "task %s %s (%s)",
            record.id,
            "begins" if attempt == 1 else "goes on",
            record.task.source,
            extra=event("task.began", **_named(record), queue=record.task.queue, attempt=attempt),
        )

    # --- waits -----------------------------------------------------------------------------------------------------

    async def _tell_waits(self) -> None:
        while True:
            with contextlib.suppress(NotFound):  # its session was deleted
                record = await self._storage.task(await self._left.get())
                if record.state in ("waiting", "paused"):
                    self._tell_wait(record)

    def _tell_wait(self, record: TaskRecord) -> None:
        questions = [wait.partition(":")[2] for wait in record.waits if wait.startswith("approval:")]
        said = ", ".join(record.waits) or record.reason
        if questions:
            said = f"an answer: autohands approval allow {questions[0]}" + (" …" if questions[1:] else "")
        logger.info(
            "task %s %s",
            record.id,
            "rests" if record.state == "paused" else f"waits for {said}",
            extra=event("task.waiting", **_named(record), reason=record.reason, waits=record.waits),
        )

    # --- ends ------------------------------------------------------------------------------------------------------

    async def _tell_ends(self) -> None:
        with self._storage.listen("ended") as bell:
            while True:
                await self.look()
                await bell.wait()

    async def look(self) -> None:
        """Tell of the tasks that have ended since the last look; not of those in the own queue of another program."""
        at, seq, page = min(self._at, now_ms()), -1, list[TaskRecord]()  # the clock may have been put back
        while seq < 0 or len(page) == PAGE:
            page = await self._storage.ended((at, seq), PAGE)
            for record in page:
                at, seq = record.ended or at, record.seq
                if at != self._at:
                    self._at = at
                    self._told.clear()
                if record.id not in self._told and not record.task.in_own_queue:
                    self._told.add(record.id)
                    await self._tell_end(record)
            if not page:
                break

    async def _tell_end(self, record: TaskRecord) -> None:
        begun = self._begun.pop(record.id, record.created)
        seconds = max((record.ended or 0) - begun, 0) / 1000
        cost = await self._storage.spent(record.id) if record.root == record.id else None
        said = f"{record.state}" if record.reason in (None, record.state) else f"{record.state} ({record.reason})"
        said += f" after {seconds:.1f} s" + (f", ${cost / _MICRO:.4f}" if cost else "")
        said += f": {record.error}" if record.error else ""
        logger.log(
            logging.WARNING if record.state in ("failed", "dead") else logging.INFO,
            "task %s is %s",
            record.id,
            said,
            extra=event(
                "task.ended",
                **_named(record),
                state=record.state,
                reason=record.reason,
                seconds=seconds,
                micro_usd=cost,
                error=record.error or None,
            ),
        )


def _named(record: TaskRecord) -> dict[str, str]:
    return {"task": record.id, "session": record.session, "source": record.task.source}
