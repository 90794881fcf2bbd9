"""Money: what was put aside and what was spent, with running totals in purses.

Each model call counts in its task's purse, and in those of its UTC day, its root's session, and that day's agent and
schedule. A root's purse is `root:ID`. A child has one of its own, `task:ID`, for which its share was put aside in its
parent's; where nothing limits the parent it spends from its parent's.
"""

from __future__ import annotations

import sqlite3
from datetime import date
from typing import Final

import msgspec
from msgspec import Struct

from autohands.protocols.changes import Reserve, Settle
from autohands.protocols.events import BudgetReserved
from autohands.sdk.failpoint import failpoint
from autohands.storage import events
from autohands.storage.transaction import TaskKey, Transaction

_ADD: Final = (
    "INSERT INTO purse(key, micro_usd) VALUES{}"
    " ON CONFLICT(key) DO UPDATE SET micro_usd = micro_usd + excluded.micro_usd RETURNING key, micro_usd, cap"
)
_ADDING: Final = tuple(_ADD.format(", ".join(f"(?{n + 2}, ?1)" for n in range(purses))) for purses in range(6))
_PAYER: Final = (
    "SELECT coalesce(t.purse, 'root:' || t.root), r.session, t.agent, r.occurrence"
    " FROM task t LEFT JOIN task r ON r.id = t.root WHERE t.seq = ?"
)
_COLUMNS: Final = "key, task, root, day, purse, session, agent, schedule"
_RESERVE: Final = (
    f"INSERT INTO ledger({_COLUMNS}, reserved, tokens, sent, created, updated)"
    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SETTLE: Final = (
    "UPDATE ledger SET settled = ?, model = ?, usage = ?, tokens = ?, updated = ? WHERE id ="
    " (SELECT max(id) FROM ledger WHERE task = ? AND key = ? AND settled IS NULL)"
    " RETURNING reserved, day, purse, session, agent, schedule"
)
_PAID: Final = (
    f"INSERT INTO ledger({_COLUMNS}, reserved, settled, model, usage, tokens, created, updated)"
    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)"
)
_SHARE: Final = (
    "SELECT own.key, own.micro_usd, own.cap, coalesce(p.purse, 'root:' || p.root), p.seq, p.id, p.session, p.root,"
    " p.ended FROM task t JOIN purse own ON own.key = 'task:' || t.id JOIN task p ON p.id = t.parent WHERE t.seq = ?"
)
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_MS: Final = 86_400_000
_PART: Final = 4  # a child that names no budget may have one part in so many of what is left
_encode: Final = msgspec.json.Encoder().encode


class Payer(Struct, frozen=True):
    """Whose calls they are: the purse, and what else is counted. Calls that belong to no task have only a day."""

    day: str
    purse: str | None = None
    session: str | None = None
    agent: str | None = None
    schedule: str | None = None

    @property
    def purses(self) -> dict[str, str]:
        """The purses in which a call counts, by the name of their cap."""
        found = {
            "run": self.purse,
            "day": f"day:{self.day}",
            "session": self.session and f"session:{self.session}",
            "agent": self.agent and f"agent:{self.agent}:{self.day}",
            "schedule": self.schedule and f"schedule:{self.schedule}:{self.day}",
        }
        return {name: key for name, key in found.items() if key}


def day_of(at: int) -> str:
    """The UTC day of a time in ms."""
    return date.fromordinal(_FIRST_DAY + at // _DAY_MS).isoformat()


def _payer(tx: Transaction, task: TaskKey | None) -> Payer:
    row = () if task is None else tx.connection.execute(_PAYER, (task.seq,)).fetchone()
    return Payer(day_of(tx.now), *row)


def reserve(tx: Transaction, change: Reserve, task: TaskKey | None = None) -> bool:
    """Put an amount aside, if every cap allows it."""
    payer = _payer(tx, task)
    found = _add(tx, payer, change.micro_usd)
    if _exceeds(tx, change, payer, found):
        _add(tx, payer, -change.micro_usd)
        return False
    if task is not None and payer.purse == f"root:{task.id}" and found[payer.purse][1] != change.run_cap:
        tx.connection.execute("UPDATE purse SET cap = ? WHERE key = ?", (change.run_cap, payer.purse))
    failpoint("ledger.reserving")
    seq, root = (0, "") if task is None else (task.seq, task.root)
    who = (change.key, seq, root, payer.day, payer.purse, payer.session, payer.agent, payer.schedule)
    tx.connection.execute(_RESERVE, (*who, change.micro_usd, change.tokens, change.sent, tx.now, tx.now))
    if task is not None:
        events.append(tx, task, BudgetReserved(turn=change.turn, micro_usd=change.micro_usd))
    return True


def _exceeds(tx: Transaction, change: Reserve, payer: Payer, found: dict[str, tuple[int, int | None]]) -> bool:
    """Whether a cap forbids what is now in the purses. A child's purse has a cap of its own, which nothing lifts."""
    caps = {
        "run": change.run_cap,
        "day": change.day_cap,
        "session": change.session_cap,
        "agent": change.agent_cap,
        "schedule": change.schedule_cap,
    }
    for name, purse in payer.purses.items():
        total, share = found[purse]
        held = share if purse.startswith("task:") else None
        if any(cap is not None and total > cap for cap in (caps[name], held)):
            return True
    return change.month_cap is not None and _month(tx.connection, payer.day) > change.month_cap


def settle(tx: Transaction, change: Settle, task: TaskKey | None = None) -> int:
    """Replace the last open reservation of a key by what was paid; without one the cost is added. What is in the
    task's purse then."""
    spent, usage = change.micro_usd, _encode(change.usage)
    tokens = change.usage.input + change.usage.output
    seq, root = (0, "") if task is None else (task.seq, task.root)
    row = tx.connection.execute(_SETTLE, (spent, change.model, usage, tokens, tx.now, seq, change.key)).fetchall()
    if row:
        reserved, *who = row[0]
        payer = Payer(*who)
    else:
        reserved, payer = 0, _payer(tx, task)
        known = (change.key, seq, root, payer.day, payer.purse, payer.session, payer.agent, payer.schedule)
        tx.connection.execute(_PAID, (*known, spent, change.model, usage, tokens, tx.now, tx.now))
    failpoint("ledger.settling")
    found = _add(tx, payer, spent - reserved)
    return found[payer.purse][0] if payer.purse else 0


def _add(tx: Transaction, payer: Payer, amount: int) -> dict[str, tuple[int, int | None]]:
    """Put an amount into all purses; what is in each then, and what it may hold."""
    purses = payer.purses.values()
    rows = tx.connection.execute(_ADDING[len(purses)], (amount, *purses))
    return {key: (total, cap) for key, total, cap in rows}


# --- shares --------------------------------------------------------------------------------------------------------


class Share(Struct, frozen=True):
    """What a new task spends from: its purse, and how much of its parent's is put aside for it, if it is."""

    purse: str
    micro_usd: int | None = None


def share(tx: Transaction, parent: str, child: str, asked: int | None) -> Share:
    """Put a new child's share aside: what it asks for, as far as that is left; a part of it where it asks nothing."""
    above, left = tx.connection.execute(
        "SELECT coalesce(t.purse, 'root:' || t.root), p.cap - p.micro_usd FROM task t"
        " LEFT JOIN purse p ON p.key = coalesce(t.purse, 'root:' || t.root) WHERE t.id = ?",
        (parent,),
    ).fetchone()
    if left is None and asked is None:
        return Share(above)
    left = None if left is None else max(left, 0)
    amount = min(each for each in (asked, left) if each is not None) if asked is not None else (left or 0) // _PART
    _put_aside(tx, above, amount)
    own = f"task:{child}"
    tx.connection.execute("INSERT INTO purse(key, micro_usd, cap) VALUES(?, 0, ?)", (own, amount))
    failpoint("ledger.shared")
    return Share(own, amount)


def give_back(tx: Transaction, task: TaskKey) -> None:
    """A task has ended: what was put aside for it and is not spent goes back, up to one that has not ended."""
    row = tx.connection.execute(_SHARE, (task.seq,)).fetchone()
    if row is None:
        return
    own, spent, held, above, *parent, parent_ended = row
    tx.connection.execute("UPDATE purse SET cap = ? WHERE key = ?", (spent, own))
    _put_aside(tx, above, spent - held)
    if parent_ended is not None:
        give_back(tx, TaskKey(*parent))


def take_up(tx: Transaction, task: TaskKey, budget: int | None) -> None:
    """A child that had ended goes on: what is left of its budget is put aside again, as far as its parent has it."""
    row = tx.connection.execute(_SHARE, (task.seq,)).fetchone()
    if row is None or budget is None:
        return
    own, spent, _, above, *_ = row
    total, cap = tx.connection.execute("SELECT micro_usd, cap FROM purse WHERE key = ?", (above,)).fetchone()
    missing = max(budget - spent, 0)
    more = missing if cap is None else min(missing, max(cap - total, 0))
    _put_aside(tx, above, more)
    tx.connection.execute("UPDATE purse SET cap = ? WHERE key = ?", (spent + more, own))


def _put_aside(tx: Transaction, purse: str, amount: int) -> None:
    tx.connection.execute(
        "INSERT INTO purse(key, micro_usd) VALUES(?, ?)"
        " ON CONFLICT(key) DO UPDATE SET micro_usd = micro_usd + excluded.micro_usd",
        (purse, amount),
    )


# --- queries -------------------------------------------------------------------------------------------------------


def cost_of(connection: sqlite3.Connection, task: int) -> int:
    """Micro-USD spent and reserved by one task."""
    row = connection.execute("SELECT total(coalesce(settled, reserved)) FROM ledger WHERE task = ?", (task,)).fetchone()
    return int(row[0])


def spent(connection: sqlite3.Connection, task: str | None, now: int) -> int:
    """Micro-USD in a task's purse, or spent and reserved on the day of `now`."""
    if task is None:
        return _purse(connection, f"day:{day_of(now)}")
    row = connection.execute("SELECT coalesce(purse, 'root:' || root) FROM task WHERE id = ?", (task,)).fetchone()
    return _purse(connection, row[0]) if row else 0


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
