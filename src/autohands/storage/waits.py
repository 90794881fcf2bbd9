"""What a waiting task waits for, as `kind:key`, and how it wakes."""

from __future__ import annotations

import msgspec

from autohands.sdk.failpoint import failpoint
from autohands.storage.transaction import Transaction

_waits = msgspec.json.Decoder(tuple[str, ...])


def wake(tx: Transaction, task: int) -> None:
    """A waiting task → ready: it keeps its place as its session's head. A paused one stays so, and waits no more."""
    woken = tx.connection.execute(
        "UPDATE task SET status = iif(status = 'paused', status, 'ready'),"
        " reason = iif(status = 'paused', status, NULL), waits = NULL, run_at = NULL, updated = ?"
        " WHERE seq = ? AND status IN('waiting', 'paused')",
        (tx.now, task),
    )
    if woken.rowcount:
        tx.ready = True
        failpoint("waits.woken")


def waits_of(tx: Transaction, task: int) -> tuple[str, ...]:
    """What a task waits for, paused or not; nothing if it does not wait."""
    row = tx.connection.execute(
        "SELECT waits FROM task WHERE seq = ? AND status IN('waiting', 'paused')", (task,)
    ).fetchone()
    return decode(row[0]) if row else ()


def decode(waits: bytes | None) -> tuple[str, ...]:
    """What a row says that its task waits for."""
    return _waits.decode(waits) if waits else ()


def names(wait: str, topic: str) -> bool:
    """Whether a wait is for the signal `topic`. A wait for `signal:x` is for the topic `x`, others name it whole."""
    return wait in (topic, f"signal:{topic}")
