"""Databases that hold a crowd, made by SQL in seconds, and what it costs to claim and to start there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from autohands import storage
from autohands.protocols.changes import Enqueue, Finish
from autohands.protocols.task import Task
from autohands.storage import claims, endings
from autohands.storage.claims import Scope, Who
from autohands.storage.database import Database
from autohands.storage.executors import this_process
from autohands.storage.transaction import Transaction

TASKS = 100_000
EVENTS_PER_TASK = 10
CLAIMS = 300
WORKER = Path(__file__).with_name("worker.py")

_COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"


async def prepare(path: Path) -> None:
    """Make the tables, with one task that the others are copies of."""
    async with storage.open(path) as store:
        await store.commit(Enqueue(task=Task(prompt="do it", session="first", queue="default")))


def fill(path: Path, *, sessions: int, status: str = "", events: int = 0) -> None:
    """Add 100,000 copies of the first task, dealt out over `sessions`; with `status` all are in that state."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        _copy(connection, "session", {"id": "'s' || i", "name": "'s' || i"}, sessions)
        place = f"CASE WHEN i <= {sessions} THEN 'ready' ELSE 'blocked' END"
        changed = {
            "id": "'t' || i",
            "root": "'t' || i",
            "session": f"'s' || (1 + (i - 1) % {sessions})",
            "status": f"'{status}'" if status else place,
            "ended": "1" if status else "NULL",
            "rank": "rank + i",
        }
        _copy(connection, "task", changed, TASKS, drop="seq")
        if events:
            connection.execute(
                f"{_COUNT}, k(j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM k WHERE j < {events})"
                " INSERT INTO event(task, seq, type, at, body) SELECT t.seq, j, 'turn.started', 1, ?"
                " FROM n JOIN task t ON t.id = 't' || i JOIN k",
                (TASKS, b',"turn":1'),
            )
        connection.execute("UPDATE task SET status = 'done', ended = 1 WHERE id NOT LIKE 't_%' OR id LIKE 'task%'")
        connection.execute("COMMIT")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(connection: sqlite3.Connection, table: str, changed: dict[str, str], count: int, drop: str = "") -> None:
    columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})") if name != drop]
    values = ", ".join(changed.get(name, f"o.{name}") for name in columns)
    connection.execute(
        f"{_COUNT} INSERT INTO {table}({', '.join(columns)}) SELECT {values} FROM n, (SELECT * FROM {table} LIMIT 1) o",
        (count,),
    )


async def claim_seconds(path: Path) -> list[float]:
    """Seconds of each of 300 claims: the statements in the writer's thread, one task each, without the sync."""
    who, scope = Who("exe_bench", this_process()), Scope(lambda: ("default",))

    def claim(tx: Transaction) -> float:
        begun = time.perf_counter()
        found = claims.sweep(tx, who, scope, free=1, foreign=False)
        seconds = time.perf_counter() - begun
        endings.end(tx, Finish(state="done", reason="done"), found.claimed[0].key)
        return seconds

    database = Database(path, lambda _: None, lambda: None)
    await database.open()
    try:
        return [await database.write(claim) for _ in range(CLAIMS)]
    finally:
        await database.close()


def claims_of(folder: Path, sessions: int) -> float:
    """The median claim, in seconds, where 100,000 tasks wait in `sessions`."""
    path = folder / f"crowd-{sessions}" / "autohands.db"
    path.parent.mkdir(mode=0o700)
    asyncio.run(prepare(path))
    fill(path, sessions=sessions)
    return median(asyncio.run(claim_seconds(path)))


def start_after_crash(folder: Path, rounds: int = 3) -> tuple[float, float]:
    """Seconds from starting a program until it is open, and until it works on a task that a killed one left."""
    home = folder / "crash"
    home.mkdir(mode=0o700)
    path = home / "autohands.db"
    asyncio.run(prepare(path))
    fill(path, sessions=1000, status="done", events=EVENTS_PER_TASK)
    opened, resumed = [], []
    for _ in range(rounds):
        with _worker(home, "submit") as first:
            assert first.stdout
            while json.loads(first.stdout.readline())["what"] != "running":
                pass
            os.kill(first.pid, signal.SIGKILL)
        begun = time.perf_counter()
        with _worker(home, "resume") as second:
            assert second.stdout
            times: dict[str, float] = {}
            while "running" not in times:
                what = json.loads(second.stdout.readline())["what"]
                times[what] = time.perf_counter() - begun
            second.wait(60)
        opened.append(times["open"])
        resumed.append(times["running"])
    return median(opened), median(resumed)


def idle_share(folder: Path, seconds: float) -> float:
    """The share of one core that an open program uses while nothing happens."""
    home = folder / "idle"
    home.mkdir(mode=0o700)
    with _worker(home, "idle", str(seconds)) as worker:
        assert worker.stdout
        while (told := json.loads(worker.stdout.readline()))["what"] != "idled":
            pass
        worker.wait(60)
    return float(told["cpu"]) / seconds


def _worker(home: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), str(home), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
