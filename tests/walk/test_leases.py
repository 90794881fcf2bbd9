"""Write leases: a second run is told who writes where, and since when; they end with the run."""

from __future__ import annotations

import asyncio
from pathlib import Path

from autohands.protocols.context import ToolContext
from autohands.protocols.messages import ToolReturn
from autohands.protocols.provider import Request
from autohands.protocols.task import Task
from autohands.sdk import tool
from autohands.testing.script import ScriptedCall, Turn, call, calls, say

from .conftest import Open

WRITES = ("dir/a.txt", "dir", "b.txt")


def told(request: Request) -> list[str]:
    """What the model read of its calls."""
    return [part.text for message in request.messages for part in message.parts if isinstance(part, ToolReturn)]


async def test_a_second_run_is_told_who_writes_and_since_when(opened: Open, workspace: Path) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @tool(effect="read")
    async def pause(ctx: ToolContext) -> str:
        """Wait."""
        began.set()
        await go_on.wait()
        return "go on"

    second = calls(
        ScriptedCall("write_file", {"path": "dir/a.txt", "content": "two"}),
        ScriptedCall("delete_file", {"path": "dir", "recursive": True}),
        ScriptedCall("write_file", {"path": "b.txt", "content": "two"}),
        ScriptedCall("exec", {"command": "echo two > c.txt"}),
        ScriptedCall("read_file", {"path": "dir/a.txt"}),
    )

    def reply(request: Request) -> Turn:
        first = "First" in request.messages[0].text
        if request.messages[-1].role != "tool":
            return call("write_file", path="dir/a.txt", content="one") if first else second
        return call("pause") if first and len(told(request)) == 1 else say("Done.")

    async with opened(*[reply] * 10, tools=(pause,)) as (hands, model):
        one = await hands.submit(Task(prompt="First", session="one", consent="workspace"))
        await began.wait()
        assert await hands.ask("Second", session="two", consent="workspace") == "Done."
        texts = told(model.requests[-1])
        for kept in (0, 1, 3):
            assert texts[kept].startswith("write_lease: dir/a.txt is held by task ")
            assert f"{one.id} of the session one, which has been writing there since 20" in texts[kept]
        assert texts[4] == "one"
        assert (workspace / "b.txt").read_text() == "two"
        go_on.set()
        [data async for data in hands.follow(one.id)]
        assert await hands.ask("Second again", session="two", consent="workspace") == "Done."
        assert not any(text.startswith("write_lease") for text in told(model.requests[-1])[5:])
    assert (workspace / "c.txt").read_text() == "two\n"
    assert not (workspace / "dir").exists()


async def test_a_lease_ends_with_the_program_that_ran_the_task(opened: Open, workspace: Path) -> None:
    began = asyncio.Event()

    @tool(effect="read")
    async def hang(ctx: ToolContext) -> str:
        """Wait for ever."""
        began.set()
        await asyncio.Event().wait()
        return ""

    async with opened(call("write_file", path="a", content="one"), call("hang"), tools=(hang,)) as (hands, _):
        await hands.submit(Task(prompt="First", session="one", consent="workspace"))
        await began.wait()
    async with opened(call("write_file", path="a", content="two"), say("Done.")) as (hands, model):
        await hands.ask("Second", session="two", consent="workspace")
        assert not told(model.requests[-1])[0].startswith("write_lease")
    assert (workspace / "a").read_text() == "two"
