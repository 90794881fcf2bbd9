"""Forks: another way on from a recorded turn, in a session of its own; what was done is not done again."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from autohands.protocols.changes import Fork
from autohands.protocols.provider import Request
from autohands.protocols.task import Task, TaskRecord
from autohands.sdk import tool
from autohands.testing.script import Turn, call, say

from .conftest import Open
from .processes import autohands, environment, lines, serving


def act(number: int) -> Turn:
    """A turn with one effect."""
    return call("exec", says=f"Step {number}.", command=f"echo {number} >> sink.txt")


@pytest.mark.slow
def test_a_fork_asks_another_model_from_a_turn_on_and_repeats_no_effect(
    home: Path, workspace: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, [act(1), act(2), act(3), say("All three.")]) as service:
        env = environment(home, service)

        def run(*command: str, status: int = 0) -> str:
            done = autohands(*command, env=env, cwd=workspace)
            assert done.returncode == status, done
            return done.stdout + done.stderr if status else done.stdout

        first = lines(run("run", "do three things", "--yes", "--json", "--model", "openai/one", "--session", "s1"))
        old = first[-1]["task"]
        before = [request["body"] for request in service.requests()]
        events = lines(run("task", "fork", old, "--turn", "3", "--model", "openai/two", "--yes", "--json"))
        assert (events[-1]["type"], events[-1]["text"], events[-1]["turns"]) == ("run.finished", "All three.", 4)
        assert events[-1]["session"] != first[-1]["session"]
        after = [request["body"] for request in service.requests()[len(before) :]]
        assert [body["model"] for body in after] == ["two", "two"]
        assert json.dumps(after[0]["messages"]) == json.dumps(before[2]["messages"]), "the prefix is another one"
        sink = Counter((workspace / "sink.txt").read_text().split())
        assert sink == {"1": 1, "2": 1, "3": 2}, "turn 3 is the fork's own, the others were done"
        shown = json.loads(run("task", "show", events[-1]["task"], "--json"))
        assert (shown["forked_from"], shown["forked_turn"]) == (old, 3)
        assert shown["usage"]["input"] == events[-1]["usage"]["input"] > 0
        assert json.loads(run("task", "show", old, "--json"))["text"] == "All three."

        more = lines(run("task", "fork", old, "--prompt", "and once more, in French", "--yes", "--json"))
        said = json.dumps(service.requests()[-1]["body"]["messages"])
        assert said.count("and once more, in French") == 1
        assert more[-1]["turns"] == 5
        assert "from 1 to 5" in run("task", "fork", old, "--turn", "9", "--yes", status=2)
        assert "the prompt is empty" in run("task", "fork", old, "--prompt", " ", status=2)


@tool(effect="compensable")
async def note(text: str) -> str:
    """Note something."""
    return f"noted {text}"


ALLOWED: dict[str, Any] = {"policy": {"rule": [{"tool": "note", "then": "allow"}]}}


def messages(request: Request) -> list[str]:
    """What a request tells, without the day."""
    return [message.text.split("<environment>")[0] for message in request.messages]


async def fork(hands: Any, record: TaskRecord, **fields: Any) -> TaskRecord:
    """Fork and run to the end."""
    forked: TaskRecord = (await hands.storage.commit(Fork(task=record.id, queue="hands_none", **fields)))[0]
    await hands.resume(forked.id)
    async for _ in hands.follow(forked.id):
        pass
    ended: TaskRecord = await hands.storage.task(forked.id)
    return ended


async def done(hands: Any, prompt: str, session: str) -> TaskRecord:
    """A task that has ended."""
    record = await hands.submit(Task(prompt=prompt, session=session))
    async for _ in hands.follow(record.id):
        pass
    ended: TaskRecord = await hands.storage.task(record.id)
    return ended


async def test_a_fork_of_a_fork_remembers_what_was_said_before_each_of_them(opened: Open) -> None:
    script = ("one", call("note", text="a"), "two", "three", "two, otherwise", "four", "four, otherwise", "five")
    async with opened(*script, tools=(note,), config=ALLOWED) as (hands, model):
        await done(hands, "first", "s")
        second = await done(hands, "second", "s")
        await done(hands, "third", "s")
        once = await fork(hands, second)
        assert once.text == "two, otherwise"
        assert messages(model.requests[4]) == ["first", "one", "second", "", ""]
        assert [message.role for message in model.requests[4].messages] == [
            "user", "assistant", "user", "assistant", "tool",
        ]  # fmt: skip
        fourth = await done(hands, "fourth", once.session)
        twice = await fork(hands, fourth)
        assert twice.text == "four, otherwise"
        said = ["first", "one", "second", "", "", "two, otherwise", "fourth"]
        assert messages(model.requests[5]) == messages(model.requests[6]) == said
        await done(hands, "fifth", twice.session)
        assert messages(model.requests[7]) == [*said, "four, otherwise", "fifth"]
        assert len({request.system for request in model.requests}) == 1

    async with opened("six", tools=(note,), config=ALLOWED) as (hands, model):  # nothing of it is in memory
        await done(hands, "sixth", twice.session)
        assert messages(model.requests[0]) == [*said, "four, otherwise", "fifth", "five", "sixth"]


async def test_a_fork_says_something_else_before_its_turn(opened: Open) -> None:
    script = (call("note", text="a"), "noted", "au revoir", "anew")
    async with opened(*script, tools=(note,), config=ALLOWED) as (hands, model):
        record = await done(hands, "note it", "s")
        later = await fork(hands, record, turn=2, prompt="in French")
        assert later.text == "au revoir"
        assert messages(model.requests[2]) == ["note it", "", "", "in French"]
        anew = await fork(hands, record, turn=1, prompt="note that instead")
        assert (anew.text, messages(model.requests[3])) == ("anew", ["note that instead"])


async def test_a_fork_whose_origin_is_gone_goes_on_with_what_is_left(
    opened: Open, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened("one", "two", tools=(note,), config=ALLOWED) as (hands, _):
        record = await done(hands, "first", "s")
        forked = await fork(hands, record)
    with sqlite3.connect(home / "autohands.db") as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM session WHERE id = ?", (record.session,))
    connection.close()
    async with opened("three", tools=(note,), config=ALLOWED) as (hands, model):
        await done(hands, "second", forked.session)
        assert messages(model.requests[0]) == ["first", "two", "second"]
    assert "which is gone" in caplog.text
