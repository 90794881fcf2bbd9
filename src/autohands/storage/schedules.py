"""Schedules and their occurrences: the rules by which a time that has come makes a task."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autohands.protocols.changes import Finish
from autohands.protocols.errors import AutoHandsError, BadRequest, Conflict
from autohands.protocols.outbox import Send
from autohands.protocols.schedule import (
    Due,
    Fire,
    Occurrence,
    PauseSchedule,
    RemoveSchedule,
    ResumeSchedule,
    SaveSchedule,
    Schedule,
    ScheduleRecord,
    ScheduleState,
    occurrence_id,
)
from autohands.sdk.failpoint import failpoint
from autohands.storage import outbox, tasks, workspaces
from autohands.storage.schedule_rows import COLUMNS, find, missing, record_of
from autohands.storage.transaction import TaskKey, Transaction
from autohands.storage.workspaces import Place

FIRST_BACKOFF_MS: Final = 60_000
LONGEST_BACKOFF_MS: Final = 86_400_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class PlacedSchedule(Struct, frozen=True):
    """A `SaveSchedule` whose workspace has been looked up."""

    change: SaveSchedule
    place: Place | None


# --- saved, paused, resumed, removed -------------------------------------------------------------------------------


def save(tx: Transaction, change: SaveSchedule | PlacedSchedule) -> ScheduleRecord:
    """Keep a schedule.

    Raises:
        BadRequest: That is no name. Conflict: There is one of that name, and it is not to be replaced.
    """
    change, place = (change.change, change.place) if isinstance(change, PlacedSchedule) else (change, None)
    schedule = change.schedule
    if not _NAME.fullmatch(schedule.name):
        hint = "begin with a letter or a digit, then at most 63 of A-Z a-z 0-9 . _ -"
        raise BadRequest(f"{schedule.name[:100]!r} cannot name a schedule", hint=hint)
    if (
        not change.replace
        and tx.connection.execute("SELECT 1 FROM schedule WHERE name = ?", (schedule.name,)).fetchone()
    ):
        raise Conflict(f"there is a schedule {schedule.name!r} already", hint="remove it first, or replace it")
    state, reason = _first_state(change)
    workspace = workspaces.keep(tx, place) if place else _known_workspace(tx, schedule.task.workspace)
    tx.connection.execute(
        "INSERT INTO schedule(name, schedule, workspace, state, reason, next_at, created, updated)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(name) DO UPDATE SET schedule = excluded.schedule,"
        " workspace = excluded.workspace, state = excluded.state, reason = excluded.reason,"
        " next_at = excluded.next_at, failures = 0, backoff_until = NULL, updated = excluded.updated",
        (schedule.name, _encode(schedule), workspace, state, reason, change.next_at, tx.now, tx.now),
    )
    tx.kinds.add("schedules")
    return find(tx.connection, schedule.name)


def _known_workspace(tx: Transaction, root: str | None) -> str | None:
    """What a run saves works where runs have worked: nothing is looked up on the disk."""
    row = tx.connection.execute("SELECT id FROM workspace WHERE root = ?", (root,)).fetchone()
    return str(row[0]) if row else None


def _first_state(change: SaveSchedule) -> tuple[ScheduleState, str]:
    labels = change.schedule.task.labels
    if labels.untrusted or labels.integrity == "untrusted":
        return "unconfirmed", "it was made by a run that had read untrusted text"
    return ("active", "") if change.next_at is not None else ("over", "")


def remove(tx: Transaction, change: RemoveSchedule) -> None:
    """Delete a schedule and its history. Raises `NotFound`."""
    if tx.connection.execute("DELETE FROM schedule WHERE name = ?", (change.name,)).rowcount == 0:
        raise missing(tx.connection, change.name)
    tx.kinds.add("schedules")


def pause(tx: Transaction, change: PauseSchedule) -> ScheduleRecord:
    """Let a schedule rest; one that is over stays so. Raises `NotFound`."""
    if find(tx.connection, change.name).state != "over":
        _change_state(tx, change.name, "paused", change.reason)
    return find(tx.connection, change.name)


def resume(tx: Transaction, change: ResumeSchedule) -> ScheduleRecord:
    """Let a schedule go on, confirmed, its failures forgotten. Raises `NotFound`; `Conflict` if it has no time left."""
    record = find(tx.connection, change.name)
    if change.next_at is None:
        raise Conflict(f"schedule {change.name!r} never comes again", hint="remove it, and add it with another time")
    tx.connection.execute(
        "UPDATE schedule SET state = 'active', reason = '', next_at = ?, failures = 0, backoff_until = NULL,"
        " updated = ? WHERE name = ?",
        (record.next_at if record.state == "active" else change.next_at, tx.now, change.name),
    )
    tx.kinds.add("schedules")
    return find(tx.connection, change.name)


def _change_state(tx: Transaction, name: str, state: ScheduleState, reason: str) -> None:
    tx.connection.execute(
        "UPDATE schedule SET state = ?, reason = ?, updated = ? WHERE name = ?", (state, reason, tx.now, name)
    )
    tx.kinds.add("schedules")


# --- fired ---------------------------------------------------------------------------------------------------------


class _Firing(Struct, frozen=True):
    """A schedule whose time has come. `open` are its tasks that have not ended, oldest first."""

    record: ScheduleRecord
    place: Place | None
    open: tuple[str, ...]


def fire(tx: Transaction, change: Fire) -> list[Occurrence]:
    """Settle the times of a schedule that have come; what was written."""
    row = tx.connection.execute(
        f"SELECT {COLUMNS} FROM schedule WHERE name = ? AND state = 'active' AND next_at = ?",
        (change.name, change.expected),
    ).fetchone()
    if row is None:
        return []
    failpoint("schedules.firing")
    fresh = [due for due in change.due if not _is_settled(tx, change.name, due.at)]
    written = _settle(tx, record_of(row), fresh) if fresh else []
    tx.connection.executemany(
        "INSERT INTO occurrence(schedule, at, state, reason, task, created) VALUES(?, ?, ?, ?, ?, ?)",
        [(each.schedule, each.at, each.state, each.reason, each.task, each.created) for each in written],
    )
    tx.connection.execute(
        "UPDATE schedule SET next_at = ?, state = ?, updated = ? WHERE name = ?",
        (change.next_at, "over" if change.next_at is None else "active", tx.now, change.name),
    )
    failpoint("schedules.fired")
    return written


def _is_settled(tx: Transaction, name: str, at: int) -> bool:
    """Whether a time has a row, or had one that was too old to be kept."""
    row = tx.connection.execute(
        "SELECT 1 FROM occurrence WHERE schedule = ?1 AND at = ?2"
        " UNION ALL SELECT 1 FROM schedule WHERE name = ?1 AND forgotten >= ?2",
        (name, at),
    ).fetchone()
    return row is not None


def _settle(tx: Transaction, record: ScheduleRecord, dues: Sequence[Due]) -> list[Occurrence]:
    """What becomes of each time. Those that are made up for run one after another, unless they may run side by side."""
    name = record.schedule.name
    firing = _Firing(record, _place(tx, name), _open_tasks(tx, name))
    refusal = _refusal(tx, firing)
    before = firing.open[-1:]
    written = []
    for due in dues:
        occurrence = Occurrence(schedule=name, at=due.at, state=due.state, reason=due.reason, created=tx.now)
        if due.state == "fired":
            occurrence = (
                replace(occurrence, state="skipped", reason=refusal) if refusal else _start(tx, firing, due, before)
            )
            before = (occurrence.task,) if occurrence.task else before
        written.append(occurrence)
    return written


def _open_tasks(tx: Transaction, name: str) -> tuple[str, ...]:
    rows = tx.connection.execute("SELECT id FROM task WHERE occurrence = ? AND ended IS NULL ORDER BY seq", (name,))
    return tuple(str(task) for (task,) in rows)


def _place(tx: Transaction, name: str) -> Place | None:
    row = tx.connection.execute(
        "SELECT w.root, w.device, w.inode FROM schedule s JOIN workspace w ON w.id = s.workspace WHERE s.name = ?",
        (name,),
    ).fetchone()
    return Place(*row) if row else None


def _refusal(tx: Transaction, firing: _Firing) -> str:
    """Why a time makes no task now; empty if nothing stands in its way."""
    record, until = firing.record, firing.record.backoff_until
    if until is not None and tx.now < until <= tx.now + LONGEST_BACKOFF_MS:
        return f"{record.failures} failed in a row: it waits"
    overlap = record.schedule.overlap
    if overlap == "forbid" and firing.open:
        return f"task {firing.open[0]} has not ended"
    if overlap == "queue" and len(firing.open) > 1:
        return f"task {firing.open[-1]} waits already"
    return ""


def _start(tx: Transaction, firing: _Firing, due: Due, before: tuple[str, ...]) -> Occurrence:
    """Make the task of one time; one that is refused is missed, with the reason."""
    schedule = firing.record.schedule
    task = replace(
        schedule.task,
        id="",
        parent=None,
        source="schedule",
        idempotency_key=occurrence_id(schedule.name, due.at),
        not_before=due.not_before,
        after=() if schedule.overlap == "allow" else before,
    )
    occurrence = Occurrence(schedule=schedule.name, at=due.at, state="fired", reason=due.reason, created=tx.now)
    try:
        with _savepoint(tx.connection):
            made = tasks.enqueue(tx, tasks.Placed(task, firing.place))
            tx.connection.execute("UPDATE task SET occurrence = ? WHERE seq = ?", (schedule.name, made.seq))
    except AutoHandsError as error:
        return replace(occurrence, state="missed", reason=error.text)
    return replace(occurrence, task=made.id, task_state=made.state)


@contextlib.contextmanager
def _savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    """What the block has written is taken back if it fails."""
    connection.execute("SAVEPOINT firing")
    try:
        yield
    except AutoHandsError:
        connection.execute("ROLLBACK TO firing")
        raise
    finally:
        connection.execute("RELEASE firing")


# --- ended ---------------------------------------------------------------------------------------------------------


def ended(tx: Transaction, change: Finish, task: TaskKey) -> None:
    """A task has ended: if a schedule made it, its failures are counted; too many in a row pause it, with one alert."""
    row = tx.connection.execute(
        f"SELECT {COLUMNS} FROM schedule WHERE name = (SELECT occurrence FROM task WHERE seq = ?)", (task.seq,)
    ).fetchone()
    if row is None or change.state == "cancelled":
        return
    record = record_of(row)
    failures = 0 if change.state == "done" else record.failures + 1
    wait = min(FIRST_BACKOFF_MS << min(failures - 1, 20), LONGEST_BACKOFF_MS) if failures else 0
    tx.connection.execute(
        "UPDATE schedule SET failures = ?, backoff_until = ? WHERE name = ?",
        (failures, tx.now + wait if wait else None, record.schedule.name),
    )
    if record.state == "active" and 0 < record.schedule.max_failures <= failures:
        fault = change.error or change.reason
        reason = f"it failed {failures} times in a row; task {task.id} with: {fault}"
        _change_state(tx, record.schedule.name, "paused", reason)
        _alert(tx, record.schedule, reason, task)


def _alert(tx: Transaction, schedule: Schedule, reason: str, task: TaskKey) -> None:
    text = f"Schedule {schedule.name} is paused: {reason}. `autohands schedule resume {schedule.name}` lets it go on."
    tx.alarms.append(text)
    if schedule.task.reply_address:
        key = f"schedule:{schedule.name}:{task.id}"
        try:
            outbox.send(tx, Send(address=schedule.task.reply_address, text=text, key=key, task=task.id))
        except AutoHandsError as error:
            tx.alarms.append(f"schedule {schedule.name}: the message was refused: {error}")
