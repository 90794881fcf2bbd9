"""What was spent, as those see it who ask: by one task, and over time."""

from __future__ import annotations

import sqlite3
from typing import Final

from autohands.protocols.costs import By, Cost, Used
from autohands.protocols.task import Child
from autohands.storage import tasks

_KEYS: Final[dict[By, str]] = {
    "day": "day",
    "agent": "coalesce(agent, '')",
    "model": "coalesce(model, '')",
    "session": "coalesce(session, '')",
    "schedule": "coalesce(schedule, '')",
}
# Between two events of a run lies work, unless the later one tells of what came while it waited.
_WORKED: Final = (
    "SELECT total(at - before) FROM (SELECT type, at, lag(at) OVER (ORDER BY seq) AS before FROM event WHERE task = ?)"
    " WHERE before IS NOT NULL AND at > before"
    " AND type NOT IN('run.started', 'run.resumed', 'approval.decided', 'task.queued')"
)


def used(connection: sqlite3.Connection, task: str) -> Used:
    """What a task has used so far; nothing if there is none."""
    row = connection.execute("SELECT seq FROM task WHERE id = ?", (task,)).fetchone()
    if row is None:
        return Used()
    calls, tokens, sent = connection.execute(
        "SELECT count(*), total(tokens), total(sent) FROM ledger WHERE task = ?", row
    ).fetchone()
    (acts,) = connection.execute(
        "SELECT count(*) FROM step WHERE task = ? AND kind = 'tool' AND status <> 'started'", row
    ).fetchone()
    (worked,) = connection.execute(_WORKED, row).fetchone()
    return Used(
        model_calls=calls, tool_calls=acts, tokens=int(tokens), sent_bytes=int(sent), worked_seconds=worked / 1000
    )


def costs(connection: sqlite3.Connection, by: By, since: str) -> list[Cost]:
    """What model calls have cost since a UTC day."""
    rows = connection.execute(
        f"SELECT {_KEYS[by]} AS key, total(settled), total(iif(settled IS NULL, reserved, 0)), count(*),"
        " count(DISTINCT root), total(tokens) FROM ledger INDEXED BY ledger_day WHERE day >= ? GROUP BY 1"
        f" ORDER BY {'1' if by == 'day' else '2 DESC, 1'}",
        (since,),
    )
    return [
        Cost(key=key, spent=int(spent), reserved=int(reserved), calls=calls, runs=runs, tokens=int(tokens))
        for key, spent, reserved, calls, runs, tokens in rows
    ]


def children(connection: sqlite3.Connection, task: str) -> list[Child]:
    """The tasks that a task has started, in that order."""
    rows = connection.execute(
        f"SELECT coalesce((SELECT micro_usd FROM purse WHERE key = 'task:' || task.id), 0), {tasks.COLUMNS}"
        " FROM task INDEXED BY task_parent WHERE parent = ? ORDER BY seq",
        (task,),
    )
    return [Child(record=tasks.record_of(record), spent=spent) for spent, *record in rows]
