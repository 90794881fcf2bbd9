"""The kill switch: everything ends, nothing begins, and a restart changes nothing about it."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from pathlib import Path

import pytest

from autohands.core.stopping import Switch
from autohands.protocols.errors import Conflict
from autohands.protocols.provider import Request
from autohands.protocols.task import Task
from autohands.testing.script import Turn, call, say

from .conftest import Open
from .served import command, events, served

pytestmark = pytest.mark.slow
RUNS = 50
TICK = call("exec", command="while :; do date >> ticks; sleep 0.1; done")


async def ticking(workspace: Path) -> None:
    """Return as soon as commands run."""
    while not (workspace / "ticks").exists():
        await asyncio.sleep(0.05)


def size(path: Path) -> int:
    """How much has been written."""
    return path.stat().st_size


@pytest.mark.parametrize("how", ["command", "file"])
async def test_ap10_fifty_runs_end_and_nothing_begins(home: Path, workspace: Path, how: str) -> None:
    numbers = count()

    def write(_: Request) -> Turn:
        return call("write_file", path=f"{next(numbers)}.txt", content="x")

    config = {"limits": {"runs": RUNS, "turns": 10_000}}
    async with served(home, workspace, *[write] * 100_000, config=config) as (hands, _):
        tasks = [await hands.submit(Task(prompt=f"Go {n}", consent="workspace")) for n in range(RUNS)]
        while len(list(workspace.iterdir())) < 20:
            await asyncio.sleep(0.01)
        thrown = time.monotonic()
        if how == "file":
            Switch(home).path.touch()
        else:
            assert "everything is stopped" in (await command("stop-all", directory=workspace)).out
        while await hands.storage.tasks(states=["running"]):
            await asyncio.sleep(0.02)
            assert time.monotonic() - thrown < 10
        written = len(list(workspace.iterdir()))
        states = {(await hands.storage.task(task.id)).state for task in tasks}
        assert states <= {"cancelled", "waiting"}
        assert "cancelled" in states
        await asyncio.sleep(0.5)
        assert len(list(workspace.iterdir())) == written
    assert next(numbers) >= written


async def test_ap10_processes_die_with_it_and_background_ones_too(home: Path, workspace: Path) -> None:
    background = call("background", action="spawn", command="while :; do date >> behind; sleep 0.1; done")
    async with served(home, workspace, background, TICK) as (hands, _):
        task = await hands.submit(Task(prompt="Go", consent="workspace"))
        await ticking(workspace)
        await hands.stop_all()
        assert (await events(hands, task.id))[-1]["reason"] == "cancelled"
        async with asyncio.timeout(10):
            while any(job.status == "running" for job in await hands.storage.jobs()):
                await asyncio.sleep(0.05)
        before = size(workspace / "ticks"), size(workspace / "behind")
        await asyncio.sleep(0.5)
        assert (size(workspace / "ticks"), size(workspace / "behind")) == before


async def test_ap10_it_survives_a_restart_until_it_is_cleared(opened: Open, home: Path, workspace: Path) -> None:
    write = call("write_file", path="a", content="b")
    Switch(home).throw("somebody")
    async with opened(write, say("Done.")) as (hands, model):
        assert any("everything is stopped (by somebody, " in line for line in hands.problems)
        with pytest.raises(Conflict, match="everything is stopped"):
            await hands.ask("Go", consent="workspace")
        result = await hands.call_tool("write_file", {"path": "a", "content": "b"})
        assert result.text.startswith("denied: everything is stopped")
        assert (await hands.call_tool("list_directory", {})).failed is False
        assert model.requests == []
        assert not list(workspace.iterdir())
        assert hands.clear_stop()
        assert await hands.ask("Go", consent="workspace") == "Done."
    assert (workspace / "a").exists()


async def test_ap10_what_comes_up_meanwhile_waits_and_is_not_lost(home: Path, workspace: Path) -> None:
    write = call("write_file", path="a", content="b")
    async with served(home, workspace, write, say("Done.")) as (hands, model):
        await hands.stop_all()
        task = await hands.tasks.submit(
            Task(prompt="Go", consent="workspace", agent="general", workspace=str(workspace))
        )
        waiting = (await events(hands, task.id, "task.waiting"))[-1]
        assert waiting["waits"] == ["timer:stopped"]
        assert model.requests == []
        done = await command("stop-all", "--clear", "--json", directory=workspace)
        assert done.json == {"stopped": False, "running": 0}
        assert (await events(hands, task.id))[-1]["reason"] == "done"


async def test_ap10_an_effect_that_was_about_to_begin_does_not(opened: Open, home: Path, workspace: Path) -> None:
    async with opened(call("write_file", path="a", content="b"), say("Done.")) as (hands, _):
        task = await hands.submit(Task(prompt="Go"))
        asked = (await events(hands, task.id, "approval.requested"))[-1]["approval"]
        await events(hands, task.id, "task.waiting")
        await hands.stop_all()
        await hands.decide(asked, allow=True)
        while (await hands.storage.task(task.id)).waits != ("timer:stopped",):
            await asyncio.sleep(0.02)
    assert not list(workspace.iterdir())
