"""Tasks that stand as if somebody worked on them, while nobody does.

What lies in a queue that many programs share waits for one of them: that nobody serves it now is no interruption.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from autohands.protocols.task import OWN_QUEUES
from autohands.storage import executors
from autohands.storage.executors import Identity

PATIENCE_MS: Final = 2_000  # a program takes what lies in its own queue at once

_RUNNING: Final = (
    "SELECT t.seq, t.id, t.queue, e.host, e.boot, e.pid, e.born FROM task t INDEXED BY task_lease"
    " LEFT JOIN executor e ON e.id = t.lease_owner WHERE t.status = 'running'"
)
_OWN: Final = "queue >= :first AND queue < :last"
_READY: Final = (
    f"SELECT seq, id, queue FROM task WHERE status = 'ready' AND {_OWN} AND max(updated, coalesce(run_at, 0)) < :since"
)
_DUE: Final = (
    "SELECT seq, id, queue FROM task WHERE status IN('delayed', 'waiting') AND run_at IS NOT NULL AND run_at < :since"
    f" AND {_OWN}"
)


def find(connection: sqlite3.Connection, here: Identity, now: int) -> list[str]:
    """The ids of tasks whose program is gone: it ran them, or they are ready or due in the queue that it alone served,
    and no living program runs a task of that queue."""
    left, served = list[tuple[int, str]](), set[str]()
    for seq, task, queue, *process in connection.execute(_RUNNING):
        if process[0] is None or executors.is_gone(Identity(*process), here):
            left.append((seq, task))
        else:
            served.add(queue)
    own = {"first": OWN_QUEUES, "last": OWN_QUEUES + "\U0010ffff", "since": now - PATIENCE_MS}
    for query in (_READY, _DUE):
        left += [(seq, task) for seq, task, queue in connection.execute(query, own) if queue not in served]
    return [task for _, task in sorted(left)]
