"""What the journal holds, read by nobody's code but SQLite's, from a copy: reading must not mend what a kill left."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct

from autohands.storage.schema import MIGRATIONS

STATES = ("delayed", "blocked", "ready", "running", "waiting", "paused", "done", "failed", "cancelled", "dead")
END_STATES = ("done", "failed", "cancelled", "dead")


class TaskRow(Struct, frozen=True):
    """A row of `task`."""

    seq: int
    id: str
    key: str | None
    session: str
    status: str
    control: str | None
    waits: bytes | None
    run_at: int | None
    owner: str | None
    ended: int | None
    parent: str | None


class StepRow(Struct, frozen=True):
    """A row of `step`; `output` is its bytes' hash, `retries` how often a person had it begin anew. It is `told` if the
    model has something to read.
    """

    kind: str
    name: str
    status: str
    idempotent: bool
    retries: int
    output: int
    told: bool = True


class EventRow(Struct, frozen=True):
    """A row of `event`."""

    type: str
    at: int
    turn: int | None
    index: int | None
    body: bytes


class MessageRow(Struct, frozen=True):
    """A row of `message`."""

    key: str
    task: str | None
    state: str
    attempt: int


class Snapshot(Struct):
    """The journal at one moment. Tasks by id, steps by (task, turn, index), events by (task, seq)."""

    tasks: dict[str, TaskRow] = {}
    steps: dict[tuple[str, int, int], StepRow] = {}
    events: dict[tuple[str, int], EventRow] = {}
    approvals: dict[str, str] = {}
    asked: dict[tuple[str, int, int], str] = {}
    signals: set[tuple[str, str]] = set()
    words: list[str] = []
    messages: list[MessageRow] = []
    occurrences: list[tuple[str, str, str | None]] = []
    schedules: set[str] = set()
    published: list[str] = []
    news: list[str] = []
    executors: set[str] = set()
    held_back: set[str] = set()
    damage: list[str] = []


def take(database: Path) -> Snapshot:
    """Read a database whose program is dead, as the next program will find it."""
    if not database.exists():
        return Snapshot()
    with tempfile.TemporaryDirectory(prefix="snapshot-") as folder:
        for path in database.parent.glob(f"{database.name}*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, folder)
        with closing(sqlite3.connect(Path(folder, database.name))) as connection:
            return _read(connection)


def _read(connection: sqlite3.Connection) -> Snapshot:
    if connection.execute("PRAGMA user_version").fetchone()[0] < len(MIGRATIONS):  # killed before all was migrated
        return Snapshot()

    def rows(statement: str) -> list[tuple[Any, ...]]:
        return connection.execute(statement).fetchall()

    ids: dict[int, str] = dict(rows("SELECT seq, id FROM task"))
    tasks = rows(
        "SELECT seq, id, idempotency_key, session, status, control, waits, run_at, lease_owner, ended, parent FROM task"
    )
    steps = rows("SELECT task, turn, idx, kind, name, status, idempotent, retries, output FROM step")
    events = rows("SELECT task, seq, type, at, turn, idx, body FROM event")
    approvals = rows("SELECT id, task, turn, idx, state FROM approval")
    signals = rows("SELECT task, topic, payload FROM signal")
    return Snapshot(
        tasks={row[1]: TaskRow(*row) for row in tasks},
        steps={
            (ids[task], turn, index): StepRow(
                kind, name, status, bool(idempotent), retries, hash(output), output is not None
            )
            for task, turn, index, kind, name, status, idempotent, retries, output in steps
        },
        events={(ids[task], seq): EventRow(*rest) for task, seq, *rest in events},
        approvals={approval: state for approval, *_, state in approvals},
        asked={(ids[task], turn, index): state for _, task, turn, index, state in approvals},
        signals={(ids[task], topic) for task, topic, _ in signals},
        words=[payload.decode() for _, topic, payload in signals if topic == "words"],
        messages=[
            MessageRow(key, ids.get(task), state, attempt)
            for key, task, state, attempt in rows("SELECT key, task, state, attempt FROM message")
        ],
        occurrences=rows("SELECT schedule, state, task FROM occurrence"),
        schedules={name for (name,) in rows("SELECT name FROM schedule")},
        published=[payload.decode() for (payload,) in rows("SELECT payload FROM publication")],
        news=[
            json.loads(request)["prompt"] for (request,) in rows("SELECT request FROM task WHERE source LIKE 'topic:%'")
        ],
        executors={name for (name,) in rows("SELECT id FROM executor")},
        held_back={ids[task] for (task,) in rows("SELECT task FROM dependency")},
        damage=_damage(connection),
    )


def _damage(connection: sqlite3.Connection) -> list[str]:
    """What SQLite and the sums of the ledger say."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    found += [f"foreign key {row}" for row in connection.execute("PRAGMA foreign_key_check")]
    purse = connection.execute("SELECT coalesce(sum(micro_usd), 0) FROM purse WHERE key LIKE 'day:%'").fetchone()
    ledger = connection.execute("SELECT coalesce(sum(coalesce(settled, reserved)), 0) FROM ledger").fetchone()
    return found if purse == ledger else [*found, f"the purse holds {purse[0]}, the ledger says {ledger[0]}"]
