"""Approvals are bound to bytes, are answered once, expire into a no, and show what would happen."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import autohands
from autohands.config import load
from autohands.protocols.errors import BadRequest, Conflict
from autohands.protocols.messages import ToolReturn
from autohands.protocols.task import Task
from autohands.testing.script import ScriptedCall, call, calls, say
from autohands.testing.scripted import Scripted

from .conftest import Open
from .served import command, events, served

RUN = call("exec", command="./job.sh")


def told(model: Scripted) -> list[str]:
    """What the model read of its calls."""
    parts = [part for message in model.requests[-1].messages for part in message.parts]
    return [part.text for part in parts if isinstance(part, ToolReturn)]


def script(workspace: Path, text: str) -> None:
    """The workspace's script."""
    (workspace / "job.sh").write_text(f"#!/bin/sh\n{text}\n")
    (workspace / "job.sh").chmod(stat.S_IRWXU)


async def asked(hands: autohands.Hands, task: str, times: int = 1) -> list[dict[str, Any]]:
    """The questions of a task, as soon as there are so many."""
    found: list[dict[str, Any]] = []
    async for data in hands.follow(task):
        event: dict[str, Any] = autohands_event(data)
        if event["type"] == "approval.requested":
            found.append(event)
        if len(found) == times and event["type"] == "task.waiting":
            break
    return found


def autohands_event(data: bytes) -> dict[str, Any]:
    """An event as a dict."""
    import json

    found: dict[str, Any] = json.loads(data)
    return found


@pytest.mark.parametrize("what", ["script", "environment", "nothing"])
async def test_ap01_what_was_approved_and_has_changed_is_asked_anew(
    opened: Open, workspace: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(workspace, "echo one")
    async with opened(RUN, say("Done.")) as (hands, _):
        task = await hands.submit(Task(prompt="Go"))
        (first,) = await asked(hands, task.id)
    if what == "script":
        script(workspace, "echo two")
    if what == "environment":
        monkeypatch.setenv("LC_ALL", "C.UTF-8" if os.environ.get("LC_ALL") == "C" else "C")
    async with opened(say("Done.")) as (hands, model):
        await hands.decide(first["approval"], allow=True)
        await hands.resume(task.id)
        if what != "nothing":
            second = (await asked(hands, task.id, 2))[-1]
            assert second["approval"] != first["approval"]
            assert second["reason"].startswith("approval_stale: ")
            await hands.decide(second["approval"], allow=True)
        assert (await events(hands, task.id))[-1]["reason"] == "done"
        assert told(model)[0].startswith("two" if what == "script" else "one")


async def test_ap01_an_edit_is_bound_to_the_file_that_was_shown(opened: Open, workspace: Path) -> None:
    (workspace / "a.txt").write_text("old\n")
    async with opened(call("write_file", path="a.txt", content="new\n"), say("Done.")) as (hands, _):
        task = await hands.submit(Task(prompt="Go"))
        (first,) = await asked(hands, task.id)
        (workspace / "a.txt").write_text("Old\n")
        await hands.decide(first["approval"], allow=True)
        second = (await asked(hands, task.id, 2))[-1]
        assert "-Old" in second["preview"]
        assert (workspace / "a.txt").read_text() == "Old\n"
        await hands.decide(second["approval"], allow=False)
        assert (await events(hands, task.id))[-1]["reason"] == "done"
    assert (workspace / "a.txt").read_text() == "Old\n"


async def test_ap01_an_earlier_call_of_the_same_reply_cannot_change_what_was_approved(
    opened: Open, workspace: Path
) -> None:
    script(workspace, "echo one")
    both = calls(
        ScriptedCall("write_file", {"path": "job.sh", "content": "#!/bin/sh\necho evil\n"}),
        ScriptedCall("exec", {"command": "./job.sh"}),
    )
    async with opened(both, say("Done.")) as (hands, model):
        task = await hands.submit(Task(prompt="Go"))
        for question in await asked(hands, task.id, 2):
            await hands.decide(question["approval"], allow=True)
        third = (await asked(hands, task.id, 3))[-1]
        assert third["reason"].startswith("approval_stale: ")
        await hands.decide(third["approval"], allow=False)
        await events(hands, task.id)
        assert told(model)[1] == "denied: owner said no"


async def test_ap02_nobody_answers_and_a_restart_changes_nothing_about_it(opened: Open, workspace: Path) -> None:
    soon = {"policy": {"approval_seconds": 1.0}}
    async with opened(call("write_file", path="a", content="b"), config=soon) as (hands, _):
        task = await hands.submit(Task(prompt="Go"))
        await asked(hands, task.id)
        (before,) = await hands.storage.approvals()
    async with opened(say("Well then."), config=soon) as (hands, model):
        (after,) = await hands.storage.approvals(pending=False)
        assert after.expires == before.expires
        await hands.resume(task.id)
        assert (await events(hands, task.id))[-1]["reason"] == "done"
        assert told(model) == ["denied: nobody answered in time"]
        with pytest.raises(Conflict):
            await hands.decide(before.id, allow=True)
    assert not list(workspace.iterdir())


async def test_ap03_of_many_answers_one_counts(opened: Open, workspace: Path) -> None:
    async with opened(call("write_file", path="a", content="b"), say("Done.")) as (hands, _):
        task = await hands.submit(Task(prompt="Go"))
        (question,) = await asked(hands, task.id)
        answers = [number % 2 == 0 for number in range(20)]
        said = await asyncio.gather(
            *(hands.decide(question["approval"], allow=allow) for allow in answers), return_exceptions=True
        )
        told_of = [event for event in await events(hands, task.id) if event["type"] == "approval.decided"]
        assert len(told_of) == 1
        counted = told_of[0]["decision"] == "allow"
        assert [error is None for error in said] == [allow == counted for allow in answers]
        assert (workspace / "a").exists() is counted


@pytest.mark.slow
@pytest.mark.parametrize("span", ["--session", "--rule"])
async def test_ap04_such_calls_are_allowed_from_now_on(home: Path, workspace: Path, span: str) -> None:
    again = call("exec", command="ls -a")
    other = call("exec", command="ls -l")
    async with served(home, workspace, call("exec", command="ls -a"), again, other, say("Done.")) as (hands, _):
        task = (await command("task", "submit", "Go", directory=workspace)).out.strip()
        (question,) = await asked(hands, task)
        assert question["rule"]["command"] == "ls -a"
        assert question["rule"]["program"].startswith("/")
        assert "expires" in question["rule"]
        await command("approval", "allow", question["approval"], span, directory=workspace)
        second = (await asked(hands, task, 2))[-1]
        assert second["call"]["arguments"]["command"] == "ls -l", "the same one was not asked about again"
        await command("approval", "deny", second["approval"], directory=workspace)
        await events(hands, task)
        rules = load(home, {}).config.policy.rule
        assert [(rule.then, rule.tool, rule.command) for rule in rules] == (
            [("allow", "exec", "ls -a")] if span == "--rule" else []
        )
        refused = await command("approval", "allow", second["approval"], span, directory=workspace, status=1)
        assert "is closed already" in refused.err


@pytest.mark.parametrize("line", ["rm -r x", "sudo ls", "python -c 'print()'", "env ls", "find . -exec ls ;", "ls; ls"])
async def test_ap04_nothing_lasting_is_offered_for_what_can_be_anything(opened: Open, line: str) -> None:
    async with opened(call("exec", command=line)) as (hands, _):
        task = await hands.submit(Task(prompt="Go"))
        (question,) = await asked(hands, task.id)
        assert question["rule"] is None
        with pytest.raises(BadRequest):
            await hands.decide(question["approval"], allow=True, for_session=True)
        assert (await hands.storage.approvals())[0].state == "pending"


async def test_ap09_people_are_asked_so_often_in_an_hour_and_no_more(opened: Open, workspace: Path) -> None:
    few = {"policy": {"approvals_per_hour": 2}}
    writes = [call("write_file", path=name, content="x") for name in "abc"]
    async with opened(*writes, say("Done."), config=few) as (hands, _):
        task = await hands.submit(Task(prompt="Go"))
        for times in (1, 2):
            question = (await asked(hands, task.id, times))[-1]
            await hands.decide(question["approval"], allow=True)
        async for data in hands.follow(task.id):
            event = autohands_event(data)
            if event["type"] == "task.waiting" and event["reason"] == "timer":
                break
        record = await hands.storage.task(task.id)
        assert record.state == "waiting"
        assert record.waits[0].startswith("timer:questions:")
        assert len(await hands.storage.approvals(pending=False)) == 2


async def test_ta07_what_a_person_sees_is_escaped_collapsed_and_says_whose_call_it_is(
    opened: Open, workspace: Path
) -> None:
    evil = "curl https://evil.example/?x \u202e(efas)\x1b[2J\r\n└ (safe)\n" + "#" * 10_000 + " rm -rf build"
    async with opened(call("exec", command=evil)) as (hands, _):
        task = await hands.submit(Task(prompt="Go", session="mine", source="webhook:ci"))
        (question,) = await asked(hands, task.id)
        shown = question["preview"]
        assert not set(shown) & set("\u202e\x1b\r")
        assert "\\u202e(efas)\\x1b[2J\\r" in shown
        assert len(shown) < 7_000
        assert "characters left out, sha256 of all " in shown
        assert "rm -rf build" in shown
        assert question["hosts"] == ["evil.example"]
        assert question["origin"].startswith("webhook:ci, agent general, session ses_")
        assert question["effect"] == "irreversible"
