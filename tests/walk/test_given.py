"""What is given to commands is looked at before it is a task, and what they show to scripts has one form."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

import autohands
from cli.command import run


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("--reply-to", "nowhere"), "is no address: write CHANNEL:THREAD"),
        (("--reply-to", ":thread"), "is no address"),
        (("--model", "nobody/x"), "no provider named 'nobody'"),
        (("--agent", "nobody"), "no agent named 'nobody'"),
    ],
)
async def test_work_that_nobody_could_do_or_answer_is_refused_before_it_is_a_task(
    home: Path, workspace: Path, given: tuple[str, ...], problem: str
) -> None:
    done = await run("task", "submit", "x", *given, "--json", directory=workspace)
    assert (done.status, done.out) == (2, "")
    assert problem in json.loads(done.err)["error"]["message"]
    assert (await run("task", "list", "--json", directory=workspace)).json == {"items": []}


async def test_a_schedule_with_a_reply_address_that_is_none_is_refused(home: Path, workspace: Path) -> None:
    done = await run("schedule", "add", "s", "--every", "1h", "--reply-to", "x", "--", "y", directory=workspace)
    assert done.status == 2
    assert "CHANNEL:THREAD" in done.err


async def test_the_copies_that_are_listed_for_scripts_have_whole_times(home: Path, workspace: Path) -> None:
    async with autohands.open(home, workspace, serve=False):
        pass
    made = await run("backup", "--json", directory=workspace)
    (listed,) = (await run("backup", "--list", "--json", directory=workspace)).json["items"]
    assert listed["made"] == made.json["made"]
    assert datetime.fromisoformat(listed["made"]).tzinfo is not None


@pytest.mark.parametrize("payload", ["[" * 5000, "[1]", "{", "nan"])
@pytest.mark.parametrize(
    "command",
    [
        ("topic", "publish", "a.b"),
        ("topic", "request", "a.b", "--timeout", "1"),
        ("task", "submit", "x", "--payload"),
        ("task", "signal", "task_x", "t"),
    ],
    ids=" ".join,
)
async def test_a_payload_that_is_no_object_is_refused_in_one_way(
    home: Path, workspace: Path, command: tuple[str, ...], payload: str
) -> None:
    done = await run(*command, payload, "--json", directory=workspace)
    assert done.status == 2
    assert "the payload is not a JSON object" in json.loads(done.err)["error"]["message"]
