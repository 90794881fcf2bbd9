"""Money: what was put aside and what was spent, with running totals for each root task and each UTC day."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Final

import msgspec

from autohands.protocols.storage import Reserve, Settle
from autohands.storage.transaction import TaskKey, Transaction

_ADD: Final = (
    "INSERT INTO purse(key, micro_usd) VALUES(?1, ?3), (?2, ?3)"
    " ON CONFLICT(key) DO UPDATE SET micro_usd = micro_usd + excluded.micro_usd"
)
_OF_TWO: Final = (
    "SELECT coalesce((SELECT micro_usd FROM purse WHERE key = ?), 0),"
    " coalesce((SELECT micro_usd FROM purse WHERE key = ?), 0)"
)
_encode: Final = msgspec.json.Encoder().encode


def day_of(at: int) -> str:
    """The UTC day of a time in ms."""
    return datetime.fromtimestamp(at / 1000, UTC).date().isoformat()


def reserve(tx: Transaction, change: Reserve, task: TaskKey) -> bool:
    """Put an amount aside, if the caps of the root task, of the day and of the month allow it."""
    day = day_of(tx.now)
    run_total, day_total = tx.connection.execute(_OF_TWO, (f"root:{task.root}", f"day:{day}")).fetchone()
    for total, cap in ((run_total, change.run_cap), (day_total, change.day_cap)):
        if cap is not None and total + change.micro_usd > cap:
            return False
    if change.month_cap is not None and _month(tx.connection, day) + change.micro_usd > change.month_cap:
        return False
    tx.connection.execute(
        "INSERT INTO ledger(key, task, root, day, reserved, created, updated) VALUES(?, ?, ?, ?, ?, ?, ?)",
        (change.key, task.seq, task.root, day, change.micro_usd, tx.now, tx.now),
    )
    tx.connection.execute(_ADD, (f"root:{task.root}", f"day:{day}", change.micro_usd))
    return True


def settle(tx: Transaction, change: Settle, task: TaskKey) -> int:
    """Replace the last open reservation of a key by what was paid; without one the cost is added. The root's total."""
    row = tx.connection.execute(
        "SELECT id, reserved, day FROM ledger WHERE task = ? AND key = ? AND settled IS NULL ORDER BY id DESC LIMIT 1",
        (task.seq, change.key),
    ).fetchone()
    entry, reserved, day = row or (None, 0, day_of(tx.now))
    spent, usage = change.micro_usd, _encode(change.usage)
    if entry is None:
        tx.connection.execute(
            "INSERT INTO ledger(key, task, root, day, reserved, settled, model, usage, created, updated)"
            " VALUES(?, ?, ?, ?, 0, ?, ?, ?, ?, ?)",
            (change.key, task.seq, task.root, day, spent, change.model, usage, tx.now, tx.now),
        )
    else:
        tx.connection.execute(
            "UPDATE ledger SET settled = ?, model = ?, usage = ?, updated = ? WHERE id = ?",
            (spent, change.model, usage, tx.now, entry),
        )
    tx.connection.execute(_ADD, (f"root:{task.root}", f"day:{day}", spent - reserved))
    return _purse(tx.connection, f"root:{task.root}")


def cost_of(connection: sqlite3.Connection, task: int) -> int:
    """Micro-USD spent and reserved by one task."""
    row = connection.execute("SELECT total(coalesce(settled, reserved)) FROM ledger WHERE task = ?", (task,)).fetchone()
    return int(row[0])


def spent(connection: sqlite3.Connection, task: str | None, now: int) -> int:
    """Micro-USD spent and reserved by a task's root, or on the day of `now`."""
    if task is None:
        return _purse(connection, f"day:{day_of(now)}")
    row = connection.execute("SELECT root FROM task WHERE id = ?", (task,)).fetchone()
    return _purse(connection, f"root:{row[0]}") if row else 0


def _month(connection: sqlite3.Connection, day: str) -> int:
    """What was spent and put aside in the month of a day."""
    month = day[:7]
    row = connection.execute(
        "SELECT total(micro_usd) FROM purse WHERE key BETWEEN ? AND ?", (f"day:{month}-01", f"day:{month}-31")
    ).fetchone()
    return int(row[0])


def _purse(connection: sqlite3.Connection, key: str) -> int:
    row = connection.execute("SELECT micro_usd FROM purse WHERE key = ?", (key,)).fetchone()
    return int(row[0]) if row else 0
