"""`run --session`: what is finished first, what stands in nobody's way, and where work from a channel happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import autohands
from autohands.protocols.loop import MODES, Middleware, Submit
from autohands.protocols.storage import Handler, Lease
from autohands.protocols.task import TaskRecord
from autohands.testing.script import call, say
from cli.command import run, start
from walk.served import served

SOON = 15


class Once:
    """A source with one task, which names no workspace."""

    modes = MODES

    async def tasks(self) -> AsyncIterator[autohands.Task]:
        yield autohands.Task(prompt="Where am I?", session="post", idempotency_key="1")


async def test_what_a_source_brings_is_done_in_the_workspace_that_is_served(home: Path, workspace: Path) -> None:
    async with served(home, workspace, say("Here.")) as (hands, _):
        hands.loop.add_source("once", Once())
        while not (found := await hands.storage.tasks()):
            await asyncio.sleep(0.01)
        async for _ in hands.follow(found[0].id):
            pass
        session = await hands.storage.session("post")
    assert session.workspace == str(workspace.resolve())


async def test_a_task_whose_time_has_not_come_does_not_hold_its_session_up(home: Path, workspace: Path) -> None:
    async with asyncio.timeout(SOON), autohands.open(home, workspace, serve=False) as hands:
        await hands.tasks.submit(autohands.Task(prompt="Later.", session="s", not_before=4_000_000_000_000))
        assert await hands.unfinished("s") == []
        begun = await hands.tasks.submit(autohands.Task(prompt="Now.", session="s"))
        assert [task.id for task in await hands.unfinished("s")] == [begun.id]


async def test_a_paused_task_goes_on_resting_when_its_session_gets_another(home: Path, workspace: Path) -> None:
    submitted = await run("task", "submit", "Rest.", "--session", "s", directory=workspace)
    task = submitted.out.strip()
    await run("task", "pause", task, directory=workspace)
    refused = await run("run", "Now.", "--session", "s", "--model", "replay/none", "--json", directory=workspace)
    assert refused.status == 1
    told = json.loads(refused.err.splitlines()[-1])["error"]
    assert (told["type"], told["hint"]) == ("Conflict", f"autohands task resume {task}")
    shown = await run("task", "show", task, "--json", directory=workspace)
    assert shown.json["state"] == "paused"


async def test_the_same_request_with_the_same_key_is_one_task_also_in_a_session(home: Path, workspace: Path) -> None:
    again = ("task", "submit", "x", "--session", "s", "--key", "1")
    first, second = [await run(*again, directory=workspace) for _ in range(2)]
    assert first.out == second.out != ""


async def test_middleware_stands_around_what_is_handled_and_what_is_submitted(home: Path, workspace: Path) -> None:
    passed: list[str] = []

    async def handle(lease: Lease, onward: Handler) -> None:
        passed.append("handled")
        await onward(lease)

    async def submit(task: autohands.Task, onward: Submit) -> TaskRecord:
        passed.append("submitted")
        return await onward(task)

    async with served(home, workspace, say("Done.")) as (hands, _):
        both = Middleware(name="both", handle=handle, submit=submit)
        hands.kernel.registries.middleware.add("test", ("both", both))
        assert await hands.ask("Do it.") == "Done."
    assert passed == ["submitted", "handled"]


async def test_who_follows_work_of_another_program_is_told_how_to_answer_it(home: Path, workspace: Path) -> None:
    replies = (call("write_file", path="a.txt", content="x"), say("Done."))
    async with served(home, workspace, *replies):
        done = await run("task", "submit", "Write.", "--follow", directory=workspace)
    assert done.status == 4
    assert "autohands approval allow apr_" in done.err
    assert "task resume" not in done.err


async def test_who_takes_up_a_task_is_told_when_it_begins(home: Path, workspace: Path) -> None:
    task = (await run("task", "submit", "x", "--not-before", "1h", directory=workspace)).out.strip()
    resuming = await start("task", "resume", task, directory=workspace)
    assert resuming.stderr is not None
    async with asyncio.timeout(SOON):
        told = await resuming.stderr.readline()
        resuming.terminate()
        await resuming.communicate()
    assert f"takes up {task}; it begins at 20" in told.decode()
