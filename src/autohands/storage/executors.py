"""Who runs tasks and jobs: processes, told apart so that one that is gone is known to be gone."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Final

from msgspec import Struct

from autohands.sdk.failpoint import failpoint
from autohands.storage.transaction import Transaction

LEASE_MS: Final = 30_000
_PROC: Final = Path("/proc")


class Identity(Struct, frozen=True):
    """A process: its host (with the namespace its pid counts in), that host's boot, its pid and when it was started."""

    host: str
    boot: str
    pid: int
    born: str


def this_process() -> Identity:
    """The process that asks."""
    pid = os.getpid()
    return Identity(_host(), _boot(), pid, started_at(pid) or "")


def started_at(pid: int) -> str | None:
    """When a process was started, in whatever unit tells a reused pid apart; None if there is none or it is dead."""
    if (_PROC / "self").exists():
        try:
            fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        return None if fields[0] in (b"Z", b"X") else fields[19].decode()
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def is_gone(other: Identity, here: Identity) -> bool:
    """Whether a process is known to be dead. Of one on another host, or in another pid namespace, nothing is known."""
    if other.host != here.host:
        return False
    return other.boot != here.boot or started_at(other.pid) != other.born


def has_gone(connection: sqlite3.Connection, executor: str | None) -> bool:
    """Whether an executor is known to be dead, by its id."""
    row = connection.execute("SELECT host, boot, pid, born FROM executor WHERE id = ?", (executor,)).fetchone()
    return row is None or is_gone(Identity(*row), this_process())


def _host() -> str:
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return str(round(psutil.boot_time()))


def enlist(tx: Transaction, executor: str, who: Identity) -> None:
    """Make or renew an executor's row: what it has claimed is its own for another 30 seconds."""
    failpoint("executors.enlisting")
    tx.connection.execute(
        "INSERT INTO executor(id, host, boot, pid, born, started, lease_until) VALUES(?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT(id) DO UPDATE SET lease_until = excluded.lease_until",
        (executor, who.host, who.boot, who.pid, who.born, tx.now, tx.now + LEASE_MS),
    )


def renew(tx: Transaction, executors: Collection[str]) -> None:
    """What these executors have claimed is their own for another 30 seconds. Those who hold nothing write nothing."""
    tx.connection.execute(
        "UPDATE executor SET lease_until = ? WHERE id IN(SELECT value FROM json_each(?))"
        " AND EXISTS(SELECT 1 FROM task WHERE lease_owner = executor.id AND status = 'running')",
        (tx.now + LEASE_MS, json.dumps(sorted(executors))),
    )


def dismiss(tx: Transaction, executor: str) -> None:
    """Delete an executor's row, unless it still owns something."""
    tx.connection.execute(
        "DELETE FROM executor WHERE id = ?1"
        " AND NOT EXISTS(SELECT 1 FROM task WHERE lease_owner = ?1 AND status = 'running')"
        " AND NOT EXISTS(SELECT 1 FROM job WHERE executor = ?1 AND status = 'running')",
        (executor,),
    )


def others(tx: Transaction, executor: str) -> list[tuple[str, Identity, int]]:
    """The other executors: id, process, and until when their leases hold (UTC ms)."""
    rows = tx.connection.execute(
        "SELECT id, host, boot, pid, born, lease_until FROM executor WHERE id <> ?", (executor,)
    )
    return [(other, Identity(*process), until) for other, *process, until in rows]
