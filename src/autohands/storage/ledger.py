"""Money: what was put aside and what was spent, with running totals for each root task and each UTC day."""

from __future__ import annotations

import sqlite3
from datetime import date
from typing import Final

import msgspec

from autohands.protocols.changes import Reserve, Settle
from autohands.protocols.events import BudgetReserved
from autohands.sdk.failpoint import failpoint
from autohands.storage import events
from autohands.storage.transaction import TaskKey, Transaction

_ADD: Final = (
    "INSERT INTO purse(key, micro_usd) VALUES(?1, ?3), (?2, ?3)"
    " ON CONFLICT(key) DO UPDATE SET micro_usd = micro_usd + excluded.micro_usd RETURNING key, micro_usd"
)
_RESERVE: Final = "INSERT INTO ledger(key, task, root, day, reserved, created, updated) VALUES(?, ?, ?, ?, ?, ?, ?)"
_SETTLE: Final = (
    "UPDATE ledger SET settled = ?, model = ?, usage = ?, updated = ? WHERE id ="
    " (SELECT max(id) FROM ledger WHERE task = ? AND key = ? AND settled IS NULL) RETURNING reserved, day"
)
_PAID: Final = (
    "INSERT INTO ledger(key, task, root, day, reserved, settled, model, usage, created, updated)"
    " VALUES(?, ?, ?, ?, 0, ?, ?, ?, ?, ?)"
)
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_MS: Final = 86_400_000
_encode: Final = msgspec.json.Encoder().encode


def day_of(at: int) -> str:
    """The UTC day of a time in ms."""
    return date.fromordinal(_FIRST_DAY + at // _DAY_MS).isoformat()


def reserve(tx: Transaction, change: Reserve, task: TaskKey) -> bool:
    """Put an amount aside, if the caps of the root task, of the day and of the month allow it."""
    day, amount = day_of(tx.now), change.micro_usd
    if _exceeds(tx, change, day, _add(tx, task.root, day, amount)):
        _add(tx, task.root, day, -amount)
        return False
    failpoint("ledger.reserving")
    tx.connection.execute(_RESERVE, (change.key, task.seq, task.root, day, amount, tx.now, tx.now))
    events.append(tx, task, BudgetReserved(turn=change.turn, micro_usd=amount))
    return True


def _exceeds(tx: Transaction, change: Reserve, day: str, totals: tuple[int, int]) -> bool:
    """Whether a cap forbids what is now in the purses; `totals` are the root's and the day's."""
    for total, cap in zip(totals, (change.run_cap, change.day_cap), strict=True):
        if cap is not None and total > cap:
            return True
    return change.month_cap is not None and _month(tx.connection, day) > change.month_cap


def settle(tx: Transaction, change: Settle, task: TaskKey) -> int:
    """Replace the last open reservation of a key by what was paid; without one the cost is added. The root's total."""
    spent, usage = change.micro_usd, _encode(change.usage)
    settled = tx.connection.execute(_SETTLE, (spent, change.model, usage, tx.now, task.seq, change.key)).fetchall()
    reserved, day = settled[0] if settled else (0, day_of(tx.now))
    if not settled:
        tx.connection.execute(_PAID, (change.key, task.seq, task.root, day, spent, change.model, usage, tx.now, tx.now))
    failpoint("ledger.settling")
    return _add(tx, task.root, day, spent - reserved)[0]


def _add(tx: Transaction, root: str, day: str, amount: int) -> tuple[int, int]:
    """Put an amount into the purses of a root and of a day; what is in them then."""
    root, day = f"root:{root}", f"day:{day}"
    totals = dict(tx.connection.execute(_ADD, (root, day, amount)).fetchall())
    return totals[root], totals[day]


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
