"""What a lease hands to the writer at once: events, steps and changes, behind one look at the fence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from autohands.protocols.changes import BackOff, Change, Finish, Park
from autohands.protocols.errors import Fenced
from autohands.protocols.records import Step
from autohands.sdk.failpoint import failpoint
from autohands.storage import events, steps
from autohands.storage.changes import apply_leased
from autohands.storage.claims import Claimed
from autohands.storage.events import Entry, Kept
from autohands.storage.transaction import Transaction
from autohands.storage.work import Work

_FENCE: Final = (
    "SELECT lease_token, status, (SELECT max(seq) FROM event WHERE event.task = task.seq) FROM task WHERE seq = ?"
)
_OUTPUT: Final = "SELECT output FROM step WHERE task = ? AND turn = ? AND idx = ?"


class Batch:
    """A unit of work of one lease.

    What was gathered before it is not lost where its group is refused, or one of its changes is: the batch sent after
    it writes that first. `previous` is the batch sent before it, if that had not landed then.
    """

    __slots__ = ("changes", "claimed", "entries", "event", "future", "previous", "steps", "work")

    def __init__(
        self, claimed: Claimed, entries: list[Entry], steps: list[Step], previous: Batch | None = None
    ) -> None:
        self.claimed = claimed
        self.entries = entries
        self.steps = steps
        self.previous = previous
        self.changes: Sequence[Change] = ()
        self.event: Kept | None = None
        self.future: asyncio.Future[list[Any]] | None = None
        self.work: Work | None = None

    @property
    def failed(self) -> bool:
        """Whether it is known not to have been recorded."""
        return self.work is not None and self.work.error is not None

    @property
    def ended(self) -> bool:
        """Whether one of its changes ended or parked the task, or put it off."""
        results: list[Any] = self.work.result if self.work and self.work.error is None else []
        return any(
            isinstance(change, Park | BackOff) or (isinstance(change, Finish) and result)
            for change, result in zip(self.changes, results, strict=False)
        )

    def unrecorded(self) -> tuple[list[Entry], list[Step]]:
        """What it and the failed batches right before it gathered."""
        if self.previous is None or not self.previous.failed:
            return self.entries, self.steps
        entries, steps = self.previous.unrecorded()
        return entries + self.entries, steps + self.steps

    def __call__(self, tx: Transaction) -> list[Any]:
        """Write it, if the lease still holds; the results of its changes.

        Raises:
            Fenced: The lease was lost.
        """
        task = self.claimed.key
        row = tx.connection.execute(_FENCE, (task.seq,)).fetchone()
        if row is None or row[0] != self.claimed.token or row[1] != "running":
            raise Fenced(f"task {task.id} runs elsewhere, or has ended")
        failpoint("batch.fenced")
        entries, noted = self.unrecorded()
        if self.event is not None:
            entries = [*entries, self.event]
        if entries:
            self._write_events(tx, entries, row[2] or 0)
        if noted:
            tx.connection.executemany(steps.INSERT, [steps.row_of(task.seq, step) for step in noted])
        failpoint("batch.written")
        return [apply_leased(tx, change, task) for change in self.changes]

    def _write_events(self, tx: Transaction, entries: Sequence[Entry], last: int) -> None:
        task, rows = self.claimed.key, []
        for entry in entries:
            if isinstance(entry, Kept):
                last += 1
                entry.seq = last
                rows.append(entry.row(task.seq))
                if entry.turn is not None and entry.output is None:
                    entry.output = self._output(tx, entry)
        tx.connection.executemany(events.INSERT, rows)
        tx.entries.append((task.id, entries))

    def _output(self, tx: Transaction, entry: Kept) -> bytes | None:
        row = tx.connection.execute(_OUTPUT, (self.claimed.key.seq, entry.turn, entry.index)).fetchone()
        output: bytes | None = row[0] if row else None
        return output
