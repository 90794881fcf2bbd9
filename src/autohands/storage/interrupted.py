"""Tasks that stand as if somebody worked on them, while nobody does."""

from __future__ import annotations

import sqlite3
from typing import Final

from autohands.storage import executors
from autohands.storage.executors import Identity

OWN_QUEUES: Final = "hands_"  # how `app` names the queue that only one program serves
PATIENCE_MS: Final = 2_000  # a program takes what lies in its own queue at once


def find(connection: sqlite3.Connection, here: Identity, now: int) -> list[str]:
    """The ids of tasks whose program is gone: it ran them, or they lie in the queue that it alone served."""
    running = connection.execute(
        "SELECT t.id, e.host, e.boot, e.pid, e.born FROM task t LEFT JOIN executor e ON e.id = t.lease_owner"
        " WHERE t.status = 'running' ORDER BY t.seq"
    )
    left = [task for task, *who in running if who[0] is None or executors.is_gone(Identity(*who), here)]
    waiting = connection.execute(
        "SELECT id FROM task WHERE status = 'ready' AND substr(queue, 1, ?) = ? AND max(updated, run_at) < ?"
        " ORDER BY seq",
        (len(OWN_QUEUES), OWN_QUEUES, now - PATIENCE_MS),
    )
    return [*left, *(task for (task,) in waiting)]
