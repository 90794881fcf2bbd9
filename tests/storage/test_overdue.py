"""What the inspector finds in the file: due and not done, each kind, and nothing where all is well."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from autohands.protocols.changes import Enqueue
from autohands.protocols.errors import StorageUnavailable
from autohands.protocols.outbox import Send
from autohands.protocols.schedule import SaveSchedule, Schedule
from autohands.protocols.task import Task
from autohands.sdk.identity import now_ms
from autohands.storage import Store
from autohands.storage import open as open_storage
from autohands.storage.overdue import _QUERIES, Inspector

MINUTE = 60_000
HOLD = """
import asyncio, sys
from pathlib import Path
from autohands import storage

async def handler(lease):
    print(lease.record.id, flush=True)
    await asyncio.Event().wait()

async def main():
    async with storage.open(Path(sys.argv[1])) as store:
        await store.engine.serve(handler, slots=1)

asyncio.run(main())
"""


async def test_where_all_is_well_nothing_is_found(store: Store, path: Path) -> None:
    await store.commit(Enqueue(task=Task(prompt="Later", not_before=now_ms() + MINUTE)), Enqueue(task=Task(prompt="x")))
    inspector = Inspector(path)
    assert inspector.look(now_ms()) == []
    inspector.close()
    assert inspector.look(now_ms()) == []
    inspector.close()


async def test_cr07_a_schedule_that_nobody_fires_is_found(store: Store, path: Path) -> None:
    now = now_ms()
    for name, due in (("late", now - MINUTE), ("soon", now - 5_000), ("later", now + MINUTE)):
        schedule = Schedule(name=name, kind="cron", when="* * * * *", task=Task(prompt="x"))
        await store.commit(SaveSchedule(schedule=schedule, next_at=due))
    inspector = Inspector(path)
    (finding,) = inspector.look(now)
    assert (finding.kind, finding.subject, finding.since) == ("schedule", "late", now - MINUTE)
    assert "nothing was recorded for its time" in finding.text
    assert {each.subject for each in inspector.look(now + MINUTE // 2)} == {"late", "soon"}
    inspector.close()


async def test_a_task_that_nobody_wakes_is_found(store: Store, path: Path) -> None:
    (record,) = await store.commit(Enqueue(task=Task(prompt="x", not_before=now_ms() + 1_000)))
    inspector = Inspector(path)
    assert inspector.look(now_ms()) == []
    (finding,) = inspector.look(now_ms() + MINUTE)
    assert (finding.kind, finding.subject) == ("timer", record.id)
    inspector.close()


async def test_a_message_that_nobody_sends_is_found_with_the_reason(store: Store, path: Path) -> None:
    (message,) = await store.commit(Send(address="post:kitchen", text="Dinner"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE message SET error = 'its channel has gone'")
        connection.commit()
    inspector = Inspector(path)
    assert inspector.look(now_ms() + MINUTE // 2) == []
    (finding,) = inspector.look(now_ms() + 2 * MINUTE)
    assert (finding.kind, finding.subject) == ("message", message.id)
    assert finding.text.endswith("and is not: its channel has gone")
    inspector.close()


async def test_cr07_a_program_that_was_stopped_in_its_tracks_is_found(store: Store, path: Path) -> None:
    (record,) = await store.commit(Enqueue(task=Task(prompt="x")))
    command = [sys.executable, "-c", HOLD, str(path)]
    holding = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holding.stdout
    try:
        assert await asyncio.to_thread(holding.stdout.readline) == f"{record.id}\n"
        os.kill(holding.pid, signal.SIGSTOP)
        inspector = Inspector(path)
        assert inspector.look(now_ms()) == []  # its lease has not run out
        (finding,) = inspector.look(now_ms() + MINUTE)
        assert (finding.kind, finding.subject) == ("lease", record.id)
        assert finding.text.endswith(f"has not renewed its lease: process {holding.pid}")
        inspector.close()
    finally:
        holding.kill()
        holding.wait()
        holding.stdout.close()


async def test_a_file_that_cannot_be_read_is_said_and_looked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "autohands.db"
    inspector = Inspector(path)
    with pytest.raises(StorageUnavailable, match="cannot be opened"):
        inspector.look(now_ms())
    async with open_storage(path):
        assert inspector.look(now_ms()) == []
        inspector.close()


async def test_a_look_scans_no_table_of_tasks(store: Store, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for _, query, _, _ in _QUERIES:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {query}", {"late": 1, "most": 1})
            plan = [str(row[3]) for row in rows]
            assert not [each for each in plan if "SCAN" in each and "INDEX" not in each], plan
