"""Two programs on one file, killed and stopped: every task once, each session in order."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from asyncio.subprocess import Process
from collections import Counter
from pathlib import Path

import pytest

from autohands import storage
from storage.stores import submit, tables

WORKER = str(Path(__file__).with_name("kill_worker.py"))
PATIENCE_SECONDS = 60.0
KILLS = 3
SESSIONS = 12  # more than both have slots for together, so that neither takes all
TASKS = 36
TURN_SECONDS = "0.02"


async def worker(path: Path, effects: Path) -> Process:
    """A program that serves what there is, and ends when nothing is left."""
    return await asyncio.create_subprocess_exec(
        sys.executable, WORKER, str(path), str(effects), "0", TURN_SECONDS, stdout=asyncio.subprocess.PIPE
    )


async def lines(process: Process, count: int) -> None:
    """Wait until it has told so much, or is done."""
    assert process.stdout is not None
    for _ in range(count):
        if not await process.stdout.readline():
            return


async def finished(process: Process) -> None:
    """It ends by itself, having seen that nothing is left."""
    told, _ = await process.communicate()
    assert process.returncode == 0
    assert told.endswith(b"all\n")


async def accept(path: Path) -> list[str]:
    async with storage.open(path) as store:
        return [(await submit(store, session=f"s{n % SESSIONS}", max_attempts=99)).id for n in range(TASKS)]


def each_once_and_in_order(path: Path, effects: Path, tasks: list[str]) -> None:
    begun = [line.split()[0] for line in effects.read_text().splitlines()]
    assert set(Counter(effects.read_text().splitlines()).values()) == {1}, "no body begins twice"
    with tables(path) as rows:
        found = rows.execute("SELECT id, status FROM task ORDER BY seq").fetchall()
        assert found == [(task, "done") for task in tasks]
        ends = rows.execute("SELECT count(*) FROM event WHERE type = 'run.finished'").fetchone()
        assert ends == (len(tasks),)
        assert rows.execute("SELECT * FROM tally").fetchall() == []
    for session in range(SESSIONS):
        own = tasks[session::SESSIONS]
        order = list(dict.fromkeys(task for task in begun if task in own))
        assert order == [task for task in own if task in order]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_two_programs_and_three_kills_run_all_tasks_once_and_in_order(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path, effects = tmp_path / "home" / "autohands.db", tmp_path / "effects"
    tasks = await accept(path)
    async with asyncio.timeout(PATIENCE_SECONDS):
        programs = [await worker(path, effects) for _ in range(2)]
        for _ in range(KILLS):
            at = chance.randrange(2)
            await lines(programs[at], chance.randrange(2, 14))
            if programs[at].returncode is None:
                programs[at].kill()
            await programs[at].communicate()
            programs[at] = await worker(path, effects)
        for program in programs:
            await finished(program)
    each_once_and_in_order(path, effects, tasks)
    with tables(path) as rows:
        assert rows.execute("SELECT sum(crashes) > 0 FROM task").fetchone() == (1,), "they were killed at work"


def let_leases_run_out(path: Path, stopped: Process) -> bool:
    """Make it as if the stopped program had slept for longer than its lease; False if it holds the file."""
    with tables(path) as rows:
        rows.execute("PRAGMA busy_timeout = 50")
        try:
            rows.execute("UPDATE executor SET lease_until = 1 WHERE pid = ?", (stopped.pid,))
        except sqlite3.OperationalError:
            return False
    return True


@pytest.mark.slow
async def test_who_slept_longer_than_its_lease_starts_nothing_twice(tmp_path: Path) -> None:
    path, effects = tmp_path / "home" / "autohands.db", tmp_path / "effects"
    tasks = await accept(path)
    async with asyncio.timeout(PATIENCE_SECONDS):
        sleeper = await worker(path, effects)
        await lines(sleeper, 5)
        os.kill(sleeper.pid, signal.SIGSTOP)
        while not let_leases_run_out(path, sleeper):
            os.kill(sleeper.pid, signal.SIGCONT)
            await lines(sleeper, 1)
            os.kill(sleeper.pid, signal.SIGSTOP)
        await finished(await worker(path, effects))
        with tables(path) as rows:
            assert rows.execute("SELECT count(*) FROM task WHERE crashes > 0").fetchone() != (0,)
        os.kill(sleeper.pid, signal.SIGCONT)
        await finished(sleeper)
    each_once_and_in_order(path, effects, tasks)
