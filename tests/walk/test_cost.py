"""`autohands cost`: what runs have cost, by whatever one asks for; and what a schedule will cost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from autohands.protocols.messages import Usage
from autohands.protocols.provider import ModelInfo, Request
from autohands.protocols.schedule import Due, Fire, Schedule
from autohands.protocols.task import Task
from autohands.runloop.schedules import plan
from autohands.testing.script import ScriptedCall as Call
from autohands.testing.script import Turn
from autohands.testing.scripted import Scripted
from cli.command import run

from .conftest import Open

MODEL = ModelInfo(name="x", context_tokens=100_000, output_tokens=1000, input_price=0, output_price=1_000_000)
RULES = {"policy": {"rule": [{"tool": "agent_*", "then": "allow"}]}}


def answer(request: Request) -> Turn:
    """A parent has a sub-agent do it; each reply costs a tenth of a cent."""
    usage = Usage(input=10, output=1000)
    if request.messages[0].text.startswith("top") and len(request.messages) == 1:
        return Turn(calls=(Call("agent_spawn", {"task": "part"}),), usage=usage)
    return Turn(text="ok", usage=usage)


async def items(workspace: Path, *arguments: str) -> list[dict[str, Any]]:
    """What the command says in JSON."""
    done = await run("cost", *arguments, "--json", directory=workspace)
    assert done.status == 0, done.err
    found: list[dict[str, Any]] = done.json["items"]
    return found


async def test_costs_are_told_apart_by_day_agent_model_session_and_schedule(opened: Open, workspace: Path) -> None:
    today = datetime.now(UTC).date().isoformat()
    async with opened(config=RULES) as (hands, _):
        dear = Scripted(*(answer,) * 20, name="dear", model=MODEL)
        hands.kernel.registries.providers.add("test", ("dear", dear))
        async for _event in hands.run("top", model="dear/x", session="talk"):
            pass
        session = (await hands.storage.session("talk")).id
        task = Task(prompt="nightly work", model="dear/x", agent="general", workspace=str(workspace))
        task_queue = (await hands.storage.tasks())[0].task.queue
        schedule = Schedule(name="nightly", kind="interval", when="6h", task=task)
        (record,) = await hands.storage.commit(plan(schedule))
        due = (Due(at=record.next_at, state="fired"),)
        fire = Fire(name="nightly", expected=record.next_at, due=due, next_at=record.next_at + 6 * 3_600_000)
        ((occurrence,),) = await hands.storage.commit(fire)
        assert task_queue.startswith("hands_")
        await hands.resume(occurrence.task)
        assert [data async for data in hands.follow(occurrence.task)]

    (day,) = await items(workspace)
    assert (day["day"], day["spent_usd"], day["calls"], day["runs"], day["reserved_usd"]) == (today, 0.004, 4, 2, 0.0)
    assert day["forecast_usd"] >= 0.004
    (agent,) = await items(workspace, "--by", "agent")
    assert (agent["agent"], agent["spent_usd"], agent["forecast_usd"]) == ("general", 0.004, 0.12)
    (model,) = await items(workspace, "--by", "model", "--since", today)
    assert (model["model"], model["tokens"]) == ("x", 4040)
    first = (await items(workspace, "--by", "session"))[0]
    assert (first["session"], first["spent_usd"]) == (session, 0.003), "with the sub-agent's"
    none, nightly = sorted(await items(workspace, "--by", "schedule"), key=lambda item: item["schedule"])
    assert (none["schedule"], none["spent_usd"], none["forecast_usd"]) == ("", 0.003, None)
    assert (nightly["spent_usd"], nightly["runs"]) == (0.001, 1)
    assert 0.118 <= nightly["forecast_usd"] <= 0.12
    assert await items(workspace, "--since", "2100-01-01") == []

    again = ("schedule", "add", "nightly", "--every", "6h", "--replace", "--json", "--", "work")
    foreseen = (await run(*again, directory=workspace)).json["forecast"]
    assert (foreseen["runs"], foreseen["earlier_runs"], foreseen["mean_usd"], foreseen["usd"]) == (120, 1, 0.001, 0.12)
    told = await run("schedule", "add", "weekly", "--every", "7d", "--", "work", directory=workspace)
    assert "4 runs in 30 days; what they cost is unknown" in told.out
    told = await run("schedule", "add", "nightly", "--every", "6h", "--replace", "--", "work", directory=workspace)
    assert "120 runs in 30 days, each 0.0010 USD (mean of 1): 0.12 USD" in told.out

    table = await run("cost", directory=workspace)
    assert table.out.splitlines()[0].split() == ["day", "runs", "calls", "tokens", "spent", "reserved", "forecast"]
    assert "█" not in table.out, "no plot where there is no terminal"
    assert "0.0040 USD spent" in table.err


async def test_nothing_was_spent(home: Path, workspace: Path) -> None:
    done = await run("cost", directory=workspace)
    assert (done.status, done.out) == (0, "")
    assert "nothing was spent" in done.err


@pytest.mark.parametrize("since", ["tomorrow", "3x", "2026-13-01"])
async def test_a_time_that_is_none_is_refused(home: Path, workspace: Path, since: str) -> None:
    done = await run("cost", "--since", since, directory=workspace)
    assert done.status == 2
    assert "--since" in done.err
