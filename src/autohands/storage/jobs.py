"""Rows of background processes. A process dies with the program that runs it; its row stays and says so."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec
from msgspec.structs import replace

from autohands.protocols.process import JobRow
from autohands.storage import executors
from autohands.storage.executors import Identity
from autohands.storage.transaction import Transaction

_encode: Final = msgspec.json.Encoder().encode
_row: Final = msgspec.json.Decoder(JobRow)
_SAVE: Final = (
    "INSERT INTO job(id, session, executor, status, started, row) VALUES(?, ?, ?, ?, ?, ?)"
    " ON CONFLICT(id) DO UPDATE SET status = excluded.status, row = excluded.row"
)


def save(tx: Transaction, row: JobRow, executor: str, who: Identity) -> None:
    """Insert or replace a row; the process belongs to `executor`, which is this program."""
    executors.enlist(tx, executor, who)
    tx.connection.execute(_SAVE, (row.id, row.session, executor, row.status, row.started, _encode(row)))


def read(connection: sqlite3.Connection, session: str | None) -> list[JobRow]:
    """The rows of a session, or of all, oldest first."""
    rows = connection.execute("SELECT row FROM job WHERE ?1 IS NULL OR session = ?1 ORDER BY started, id", (session,))
    return [_row.decode(row) for (row,) in rows]


def orphaned(connection: sqlite3.Connection, here: Identity) -> list[str]:
    """The ids of running jobs whose program is gone."""
    rows = connection.execute(
        "SELECT j.id, e.host, e.boot, e.pid, e.born FROM job j LEFT JOIN executor e ON e.id = j.executor"
        " WHERE j.status = 'running'"
    )
    return [job for job, *who in rows if who[0] is None or executors.is_gone(Identity(*who), here)]


def lose(tx: Transaction, ids: list[str]) -> None:
    """These jobs ended with their program; how, nobody knows."""
    for job in ids:
        row = tx.connection.execute("SELECT row FROM job WHERE id = ? AND status = 'running'", (job,)).fetchone()
        if row is not None:
            lost = replace(_row.decode(row[0]), status="lost", reason="lost", ended=tx.now)
            tx.connection.execute("UPDATE job SET status = 'lost', row = ? WHERE id = ?", (_encode(lost), job))
