"""CR01: killed at any moment, a program loses nothing it acknowledged and does nothing twice."""

import asyncio
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from autohands import storage
from storage.stores import tables

WORKER = str(Path(__file__).with_name("kill_worker.py"))
TURNS = 6
LIVES = 4


def live(path: Path, effects: Path, count: int, lines: int | None = None) -> list[list[str]]:
    """Run the worker to its end, or kill it when it has told so many lines; what it told."""
    command = [sys.executable, WORKER, str(path), str(effects), str(count)]
    told: list[list[str]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            told.append(line.split())
            if len(told) == lines:
                worker.kill()
    return told


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_cr01_nothing_acknowledged_is_lost_and_no_effect_happens_twice(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path, effects = tmp_path / "home" / "autohands.db", tmp_path / "effects"
    path.parent.mkdir(mode=0o700)
    told: list[list[str]] = []
    for _ in range(LIVES):
        told += await asyncio.to_thread(live, path, effects, 6, chance.randrange(1, 45))
    told += await asyncio.to_thread(live, path, effects, 3, None)
    assert told[-1] == ["all"]
    tasks = {words[1] for words in told if words[0] == "task"}
    done = Counter(tuple(line.split()) for line in effects.read_text().splitlines())
    assert set(done.values()) == {1}

    async with storage.open(path) as store:
        records = {record.id: record for record in await store.tasks(limit=10_000)}
        assert tasks <= set(records)
        assert {record.state for record in records.values()} == {"done"}
        for task in records:
            steps = {(step.turn, step.index): step.status for step in await store.steps(task)}
            assert set(steps) == {(turn, index) for turn in range(1, TURNS + 1) for index in (0, 1)}
            for (turn, index), status in steps.items():
                assert status in (("done",) if index == 0 else ("done", "unknown"))
                assert index == 0 or status == "unknown" or done[task, str(turn)] == 1
    with tables(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        gaps = connection.execute("SELECT task FROM event GROUP BY task HAVING max(seq) <> count(*)").fetchall()
        assert gaps == []
        ends = connection.execute("SELECT task FROM event WHERE type = 'run.finished' GROUP BY task").fetchall()
        assert len(ends) == len(records)
        purse = connection.execute("SELECT sum(micro_usd) FROM purse WHERE key LIKE 'day:%'").fetchone()
        assert purse == connection.execute("SELECT sum(coalesce(settled, reserved)) FROM ledger").fetchone()
        first = "SELECT t.session, e.task FROM event e JOIN task t ON t.seq = e.task WHERE e.type = 'run.finished'"
        order = connection.execute(f"{first} ORDER BY e.at, e.task").fetchall()
        for session in {row[0] for row in order}:
            own = [task for each, task in order if each == session]
            assert own == sorted(own)
