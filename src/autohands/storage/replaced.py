"""What becomes of unfinished work in a database that was put back to an older state."""

from __future__ import annotations

import sqlite3
from typing import Final

from msgspec.structs import replace

from autohands.protocols.upkeep import Loss
from autohands.sdk.identity import now_ms

REASON: Final = "restored"
_TOLD: Final = "the database was restored from an older state: this may have happened since"


def settle(connection: sqlite3.Connection, loss: Loss, commits: int | None) -> Loss:
    """Number a restored state, and lay to rest what may have gone on since it was the present one.

    Where nothing was lost everything goes on. Otherwise a task that was to run may have run, a message may have been
    sent, and a schedule's time may have been served: a person decides.
    """
    now = now_ms()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM executor")  # no program has ever opened this file
    if commits is not None:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'commits'", (str(commits),))
    if loss.commits != 0:
        loss = replace(
            loss,
            resting=_rest(connection, now),
            held=connection.execute(
                "UPDATE message SET state = 'held', doubtful = 1, owner = NULL, error = ?, updated = ?"
                " WHERE state IN('pending', 'sending') AND send_at <= ?",
                (_TOLD, now, now),
            ).rowcount,
            paused=connection.execute(
                "UPDATE schedule SET state = 'paused', reason = ?, updated = ? WHERE state = 'active' AND next_at <= ?",
                (_TOLD, now, now),
            ).rowcount,
        )
    connection.execute("COMMIT")
    return loss


def _rest(connection: sqlite3.Connection, now: int) -> int:
    """Pause the head of each session, and what was to start meanwhile; what stands behind it waits for it."""
    heads = connection.execute(
        "UPDATE task SET status = 'paused', reason = ?, control = NULL, waits = NULL, run_at = NULL,"
        " lease_owner = NULL, updated = ? WHERE status IN('ready', 'running', 'waiting')",
        (REASON, now),
    ).rowcount
    due = connection.execute(
        "SELECT seq, session FROM task WHERE status = 'delayed' AND run_at <= ? ORDER BY run_at, seq", (now,)
    ).fetchall()
    for seq, session in due:
        head = connection.execute("SELECT 1 FROM task WHERE session = ? AND status = 'paused'", (session,)).fetchone()
        connection.execute(
            "UPDATE task SET status = ?, reason = ?, run_at = NULL, updated = ? WHERE seq = ?",
            ("blocked" if head else "paused", REASON, now, seq),
        )
    return heads + len(due)
