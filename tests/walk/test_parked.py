"""A wait keeps no coroutine: one slot, three tasks deep, an approval at the bottom, and a restart in the middle."""

from __future__ import annotations

from pathlib import Path

from autohands.protocols.context import ToolContext
from autohands.protocols.messages import ToolReturn
from autohands.protocols.provider import Request
from autohands.protocols.task import Task
from autohands.sdk import tool
from autohands.testing.script import Turn, call, say
from autohands.testing.scripted import Scriptable

from .conftest import Open

submitted: list[str] = []


@tool(effect="idempotent")
async def delegate(ctx: ToolContext, work: str) -> str:
    """Have a task of its own do the work, and wait for what it says."""
    child = await ctx.submit(Task(prompt=work, consent="ask"))
    submitted.append(child.id)
    outcome = await ctx.wait(f"child:{child.id}")
    return str(outcome["text"])


def answer(request: Request) -> Turn:
    """What each task says: the first two delegate, the third one writes a file."""
    prompt, last = request.messages[0].text, request.messages[-1]
    if last.role == "tool":
        returned = last.parts[0]
        assert isinstance(returned, ToolReturn)
        return say(f"{prompt.split('<')[0]} says: {returned.text.splitlines()[0]}")
    if prompt.startswith("bottom"):
        return call("write_file", path="deep.txt", content="deep")
    return call("delegate", work="middle" if prompt.startswith("top") else "bottom")


async def test_one_slot_three_deep_with_an_approval_at_the_bottom_over_a_restart(opened: Open, workspace: Path) -> None:
    script: tuple[Scriptable, ...] = (answer,) * 12
    one_slot = {"limits": {"runs": 1}, "policy": {"rule": [{"tool": "delegate", "then": "allow"}]}}
    async with opened(*script, tools=(delegate,), config=one_slot) as (hands, _):
        top = await hands.submit(Task(prompt="top"))
        async for data in hands.follow(top.id):
            if b'"task.waiting"' in data:
                break
        approval = None
        while approval is None:
            waiting = await hands.storage.tasks(states=["waiting"])
            pending = await hands.storage.approvals()
            approval = pending[0] if pending and len(waiting) == 3 else None
    assert not (workspace / "deep.txt").exists()

    async with opened(*script, tools=(delegate,), config=one_slot) as (hands, model):
        for record in await hands.storage.tasks(states=["waiting"]):
            await hands.resume(record.id)
        await hands.decide(approval.id, allow=True)
        events = [data async for data in hands.follow(top.id)]
        assert b"top says: middle says: bottom says: " in events[-1]
        tasks = await hands.storage.tasks()
        assert [task.state for task in tasks] == ["done"] * 3
        assert (workspace / "deep.txt").read_text() == "deep"
        assert len(model.requests) == 3, "only the replies that were still missing were asked for"
    assert len(set(submitted)) == 2, "each child was submitted once"
    assert len(submitted) == 4
