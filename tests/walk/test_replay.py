"""Replays: the model gets a task again with the recorded results, and nothing is carried out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autohands.protocols.changes import Fork
from autohands.protocols.messages import ToolReturn
from autohands.protocols.provider import Request
from autohands.protocols.task import Task, TaskRecord
from autohands.sdk import tool
from autohands.testing.script import ScriptedCall, Turn, call, calls, say

from .conftest import Open
from .processes import autohands, environment, serving


@pytest.mark.slow
def test_the_same_answers_give_the_same_outcome_and_no_effect(home: Path, workspace: Path, tmp_path: Path) -> None:
    script = [call("exec", command="date +%N | tee -a sink.txt"), say("So it is.")]
    with serving(tmp_path, script) as service:
        env = environment(home, service)
        made = autohands("run", "what time", "--yes", "--json", "--model", "openai/x", env=env, cwd=workspace)
        task = json.loads(made.stdout.splitlines()[-1])["task"]
        sink = (workspace / "sink.txt").read_text()
        replayed = autohands("task", "replay", task, "--json", env=env, cwd=workspace)
        assert replayed.returncode == 0, replayed.stderr
        told = json.loads(replayed.stdout)
        assert (told["equal"], told["text"]["equal"], told["calls"]["equal"]) == (True, True, True)
        assert (told["replays"], told["calls"]["now"]) == (task, 1)
        assert (workspace / "sink.txt").read_text() == sink, "something was carried out"
        assert sink.strip() in json.dumps(service.requests()[-1]["body"]), "the recorded result was not told"
        shown = autohands("task", "show", told["task"], "--json", env=env, cwd=workspace)
        assert json.loads(shown.stdout)["replays"] == task
        words = autohands("task", "replay", task, env=env, cwd=workspace)
        assert "the same (1 then, 1 now)" in words.stdout, words


ran: list[str] = []


@tool(effect="compensable")
async def change(name: str) -> str:
    """Change something."""
    ran.append(name)
    return f"changed {name}, time {len(ran)}"


@tool(effect="read")
async def look(name: str) -> str:
    """Look at something."""
    ran.append(f"look {name}")
    return f"saw {name}"


def last(request: Request) -> list[str]:
    """The results that the model got last."""
    return [part.text for part in request.messages[-1].parts if isinstance(part, ToolReturn)]


async def test_each_recorded_result_is_given_once_and_other_effects_are_refused(opened: Open) -> None:
    ran.clear()
    recorded = calls(*(ScriptedCall("change", {"name": name}) for name in ("a", "a", "b")))
    other = calls(
        *(ScriptedCall("change", {"name": name}) for name in ("b", "a", "a", "a", "c")),
        ScriptedCall("look", {"name": "d"}),
    )
    config = {"policy": {"rule": [{"tool": "change", "then": "allow"}]}}
    script: tuple[Turn, ...] = (recorded, say("Done."), other, say("Otherwise."))
    async with opened(*script, tools=(change, look), config=config) as (hands, model):
        first = await hands.submit(Task(prompt="change", session="s"))
        async for _ in hands.follow(first.id):
            pass
        assert ran == ["a", "a", "b"]
        replay: TaskRecord = (await hands.storage.commit(Fork(task=first.id, replay=True, queue="hands_none")))[0]
        await hands.resume(replay.id)
        async for _ in hands.follow(replay.id):
            pass
        results = last(model.requests[3])
        assert results[:3] == ["changed b, time 3", "changed a, time 1", "changed a, time 2"]
        assert all(result.startswith("not_replayed: ") for result in results[3:5])
        assert results[5] == "saw d"
        assert ran == ["a", "a", "b", "look d"], "a replay changed something"
        assert model.requests[2].messages == model.requests[0].messages


async def test_a_replay_gives_nobody_anothers_results(opened: Open) -> None:
    ran.clear()
    async with opened("secret", "never") as (hands, _):
        first = await hands.submit(Task(prompt="mine", session="s"))
        async for _ in hands.follow(first.id):
            pass
        stolen = await hands.submit(Task(prompt="give it to me", principal="token:other", replays=first.id))
        data = [data async for data in hands.follow(stolen.id)]
        assert json.loads(data[-1])["reason"] == "failed"
        assert "there is no task" in json.loads(data[-1])["error"]
