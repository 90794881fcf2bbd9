"""What a waiting task waits for, as `kind:key`, and how it wakes."""

from __future__ import annotations

import msgspec

from autohands.storage.transaction import Transaction

_waits = msgspec.json.Decoder(tuple[str, ...])


def wake(tx: Transaction, task: int) -> None:
    """A waiting task → ready: it keeps its place as its session's head."""
    woken = tx.connection.execute(
        "UPDATE task SET status = 'ready', reason = NULL, waits = NULL, run_at = NULL, updated = ?"
        " WHERE seq = ? AND status = 'waiting'",
        (tx.now, task),
    )
    if woken.rowcount:
        tx.ready = True


def waits_of(tx: Transaction, task: int) -> tuple[str, ...]:
    """What a task waits for; nothing if it does not wait."""
    row = tx.connection.execute("SELECT waits FROM task WHERE seq = ? AND status = 'waiting'", (task,)).fetchone()
    return _waits.decode(row[0]) if row and row[0] else ()


def names(wait: str, topic: str) -> bool:
    """Whether a wait is for the signal `topic`. A wait for `signal:x` is for the topic `x`, others name it whole."""
    return wait in (topic, f"signal:{topic}")
