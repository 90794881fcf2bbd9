"""Sub-agents from outside to outside: side by side, once over a restart, never with more than their parent has."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import autohands
from autohands.protocols.context import Labels
from autohands.protocols.events import RunFinished
from autohands.protocols.messages import ToolReturn, Usage
from autohands.protocols.provider import ModelInfo, Request
from autohands.protocols.task import Task, TaskRecord
from autohands.sdk import ToolContext, tool
from autohands.testing.script import ScriptedCall as Call
from autohands.testing.script import Turn, call, calls, say
from autohands.testing.scripted import Scripted
from autohands.testing.vendors import FakeVendors, Seen
from cli.command import run, start

from .conftest import Open

RULES = {"policy": {"rule": [{"tool": "agent_*", "then": "allow"}]}}
DEAR = ModelInfo(name="x", context_tokens=100_000, output_tokens=10_000, input_price=0, output_price=1_000_000)


def prompt_of(request: Request) -> str:
    """What the task was asked."""
    return request.messages[0].text.split("<environment>")[0]


def returned(request: Request) -> list[str]:
    """What the last calls returned."""
    return [part.text for part in request.messages[-1].parts if isinstance(part, ToolReturn)]


def spawn(task: str, **arguments: Any) -> Call:
    """A call that starts a sub-agent."""
    return Call("agent_spawn", {"task": task, **arguments})


async def end_of(hands: autohands.Hands, prompt: str = "top", **options: Any) -> RunFinished:
    """Run a prompt to its end."""
    end = [event async for event in hands.run(prompt, **options)][-1]
    assert isinstance(end, RunFinished)
    return end


async def children(hands: autohands.Hands) -> list[TaskRecord]:
    """All tasks that others have started, the first one first."""
    return [record for record in reversed(await hands.storage.tasks(limit=10_000)) if record.task.parent]


# --- side by side, over a restart -----------------------------------------------------------------------------------


def conversation(seen: Seen) -> Turn:
    """The parent has three parts done; a part takes a while to answer."""
    said = json.dumps(seen.body)
    if "Coordinate" in said:
        return say("All parts are there.") if seen.turn else calls(*(spawn(f"Part {name}") for name in "ABC"))
    name = next(name for name in "ABC" if f"Part {name}" in said)
    return Turn(text=f"{name} is done. " + "word " * 10, pause_seconds=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["task.waiting", "tool.started"])
async def test_bu07_three_children_side_by_side_and_a_kill_in_between(place: str, home: Path, workspace: Path) -> None:
    async with FakeVendors(conversation) as fake:
        options = ("--yes", "--json", "--model", "openai/fake")
        process = await start("run", "Coordinate", *options, fake=fake, directory=workspace)
        assert process.stdout
        event: dict[str, Any] = {}
        async for line in process.stdout:
            event = json.loads(line)
            if event["type"] == place:
                process.kill()
                break
        await process.communicate()
        resumed = await run("task", "resume", event["task"], "--yes", "--json", fake=fake, directory=workspace)
        end = resumed.events[-1]
        assert (end["reason"], end["text"]) == ("done", "All parts are there."), resumed.err
        assert fake.problems == []
        last = [json.dumps(seen.body) for seen in fake.requests if "Coordinate" in json.dumps(seen.body)][-1]
        assert [last.count(f"{name} is done") for name in "ABC"] == [1, 1, 1]
        parts = [seen for seen in fake.requests if "Coordinate" not in json.dumps(seen.body)]
        assert 3 <= len(parts) <= 6, "each was asked once, but for those in flight"
    with sqlite3.connect(home / "autohands.db") as connection:
        states = connection.execute("SELECT status, count(*) FROM task GROUP BY status").fetchall()
        told = connection.execute("SELECT count(*), count(DISTINCT topic) FROM signal WHERE topic GLOB 'child:*'")
        assert (states, told.fetchone()) == ([("done", 4)], (3, 3))
    connection.close()


async def test_bu07_children_of_one_reply_run_side_by_side(opened: Open) -> None:
    met = asyncio.Barrier(3)

    @tool(effect="read")
    async def meet() -> str:
        """Wait until all are here."""
        await met.wait()
        return "met"

    def answer(request: Request) -> Turn:
        if prompt_of(request) == "top":
            return say(" ".join(returned(request))) if len(request.messages) > 1 else calls(*map(spawn, "abc"))
        return say(f"{prompt_of(request)} met") if len(request.messages) > 1 else call("meet")

    async with opened(*(answer,) * 8, tools=(meet,), config=RULES) as (hands, _):
        assert (await end_of(hands)).text == "a met b met c met"


async def test_bu07_one_slot_is_enough_for_parents_that_wait_for_children(opened: Open) -> None:
    def answer(request: Request) -> Turn:
        if len(request.messages) > 1:
            return say("<" + "".join(returned(request)) + ">")
        depth = len(prompt_of(request))
        return say("leaf") if depth == 4 else calls(*(spawn("x" * (depth + 1)) for _ in range(2)))

    async with opened(*(answer,) * 40, config=RULES | {"limits": {"runs": 1}}) as (hands, _):
        assert (await end_of(hands, "x")).text == "<<<leafleaf><leafleaf>><<leafleaf><leafleaf>>>"
        assert len(await children(hands)) == 14


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_bu07_a_recursion_bomb_is_bounded(opened: Open) -> None:
    """Everybody always starts three more."""

    def answer(request: Request) -> Turn:
        return say("enough") if len(request.messages) > 1 else calls(*map(spawn, "abc"))

    limits = {"runs": 2, "depth": 3, "children": 2, "descendants": 9}
    async with opened(*(answer,) * 200, config=RULES | {"limits": limits}) as (hands, model):
        end = await end_of(hands)
        made = await children(hands)
        assert (end.reason, len(made)) == ("done", 9)
        assert {record.state for record in made} == {"done"}
        told = " ".join(text for request in model.requests for text in returned(request))
        assert "[limits] children" in told
        assert "[limits] depth" in told
        assert "[limits] descendants" in told


async def test_bu07_a_thousand_requests_start_as_many_as_are_allowed(opened: Open) -> None:
    def answer(request: Request) -> Turn:
        if prompt_of(request) != "top":
            return say("ok")
        return say("end") if len(request.messages) > 1 else calls(*(spawn(f"go {n}") for n in range(1000)))

    async with opened(*(answer,) * 30, config=RULES | {"limits": {"children": 20}}) as (hands, model):
        assert (await end_of(hands)).reason == "done"
        assert len(await children(hands)) == 20
        last = next(request for request in reversed(model.requests) if prompt_of(request) == "top")
        assert [returned(last).count("ok"), len(returned(last))] == [20, 1000]


async def test_the_same_work_given_to_several_is_no_loop_whoever_is_done_first(opened: Open) -> None:
    pauses = itertools.count()

    def answer(request: Request) -> Turn:
        if prompt_of(request) != "top":
            return replace(say("ok"), pause_seconds=0.1 * next(pauses))
        return say("end") if len(request.messages) > 1 else calls(*(spawn("go") for _ in range(6)))

    async with opened(*(answer,) * 30, config=RULES) as (hands, model):
        assert (await end_of(hands)).reason == "done"
        last = next(request for request in reversed(model.requests) if prompt_of(request) == "top")
        assert [text[:2] for text in returned(last)] == ["ok"] * 6


async def test_bu07_a_childs_overspend_stops_at_its_share_and_the_rest_comes_back(opened: Open) -> None:
    full = Usage(input=1, output=10_000)  # a cent

    def answer(request: Request) -> Turn:
        if prompt_of(request) != "top":
            return Turn(text="More.", calls=(Call("glob", {"pattern": "*"}),), usage=full)
        if len(request.messages) > 1:
            return Turn(text=returned(request)[0], usage=full)
        return Turn(calls=(spawn("spend", budget=0.035),), usage=full)

    async with opened(config=RULES) as (hands, _):
        dear = Scripted(*(answer,) * 20, name="dear", model=DEAR)
        hands.kernel.registries.providers.add("test", ("dear", dear))
        end = await end_of(hands, model="dear/x", budget_usd=0.06)
        (child,) = await children(hands)
        assert (child.reason, child.task.budget_micro_usd, child.task.model) == ("budget", 35_000, "dear/x")
        assert (end.reason, len(dear.requests)) == ("done", 5)
        assert "budget" in end.text
        assert "More." in end.text, "what it had done is told"
        assert await hands.storage.spent(child.id) == 30_000
        root = (await hands.storage.task(end.task)).id
        assert await hands.storage.spent(root) == await hands.storage.spent() == 50_000


async def test_bu07_a_child_may_use_no_tool_that_its_parent_may_not(opened: Open, workspace: Path) -> None:
    (workspace / "a.txt").write_text("read me")

    def answer(request: Request) -> Turn:
        if prompt_of(request) == "top":
            return say("end") if len(request.messages) > 1 else calls(spawn("work"), spawn("work", tools=["*_file"]))
        if len(request.messages) > 1:
            return say(" ".join(returned(request)))
        return calls(Call("exec", {"command": "touch b"}), Call("read_file", {"path": "a.txt"}))

    agents = {"reader": {"prompt": "You read.", "tools": ["read_file", "glob", "agent_spawn"]}}
    async with opened(*(answer,) * 9, config=RULES | {"agents": agents}) as (hands, model):
        await end_of(hands, agent="reader", consent="workspace")
        one, two = await children(hands)
        assert one.task.tools == ("agent_spawn", "glob", "read_file")
        assert two.task.tools == ("read_file",)
        assert one.task.agent == "reader"
        for record in (one, two):
            assert "unknown_tool: there is no tool `exec`" in (record.text or "")
            assert "read me" in (record.text or "")
    assert not (workspace / "b").exists()
    offered = {schema.name for request in model.requests for schema in request.tools}
    assert offered == {"agent_spawn", "glob", "read_file", "read_result"}


async def test_ta03_labels_and_consent_are_passed_on(opened: Open) -> None:
    def answer(request: Request) -> Turn:
        if prompt_of(request) == "top":
            return say("end") if len(request.messages) > 1 else calls(spawn("work"))
        return say("ok")

    labels = Labels(integrity="untrusted", untrusted=True, private=True)
    async with opened(*(answer,) * 3, config=RULES) as (hands, _):
        record = await hands.submit(Task(prompt="top", labels=labels, consent="deny"))
        assert [data async for data in hands.follow(record.id)]
        (child,) = await children(hands)
        assert (child.task.labels, child.task.consent, child.task.source) == (labels, "deny", "agent")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"agent_id": "genral"}, "general"),
        ({"budget": -1.0}, "invalid_budget"),
        ({"task": "  "}, "empty"),
        ({"model": "nobody/x"}, "nobody"),
    ],
)
async def test_a_child_that_makes_no_sense_is_refused(opened: Open, arguments: dict[str, Any], told: str) -> None:
    bad = Call("agent_spawn", {"task": "work", **arguments})
    async with opened(calls(bad), "end", config=RULES) as (hands, model):
        assert (await end_of(hands)).reason == "done"
        assert told in returned(model.requests[1])[0]


# --- asked, spoken to, ended ----------------------------------------------------------------------------------------


async def test_a_child_is_started_listed_spoken_to_and_asked_for_its_answer(opened: Open) -> None:
    go = asyncio.Event()

    @tool(effect="read")
    async def hold() -> str:
        """Wait to be let go."""
        await go.wait()
        return "went"

    @tool(effect="read")
    async def let_go() -> str:
        """Let the child go on."""
        go.set()
        return "let go"

    def answer(request: Request) -> Turn:
        turn = sum(message.role == "assistant" for message in request.messages)
        if prompt_of(request) != "top":
            heard = [message.text for message in request.messages if message.role == "user"][1:]
            return call("hold") if turn == 0 else say(f"I heard {heard}")
        if turn == 0:
            return calls(spawn("work", wait=False))
        started = next(m.parts[0].text for m in request.messages if m.role == "tool")  # type: ignore[union-attr]
        child = started.split()[0]
        script = [
            calls(Call("agent_list"), Call("agent_status", {"child_id": child})),
            calls(Call("agent_message", {"child_id": child, "message": "Hurry"})),
            calls(Call("let_go"), Call("agent_status", {"child_id": child, "wait": True})),
            calls(
                Call("agent_status", {"child_id": child}), Call("agent_message", {"child_id": child, "message": "?"})
            ),
            calls(Call("agent_status", {"child_id": "task_of_somebody_else"})),
        ]
        return script[turn - 1] if turn <= len(script) else say("end")

    async with opened(*(answer,) * 20, tools=(hold, let_go), config=RULES) as (hands, model):
        assert (await end_of(hands)).reason == "done"
        (child,) = await children(hands)
        told = [returned(request) for request in model.requests if prompt_of(request) == "top"][2:]
        assert all(child.id in text and "general: " in text for text in told[0])
        assert "next turn" in told[1][0]
        assert told[2][1] == "I heard ['Hurry']"
        assert told[3][0] == "I heard ['Hurry']"
        assert "has_ended" in told[3][1]
        assert "unknown_child" in told[4][0]
        assert child.id in told[4][0]


async def test_a_child_that_is_ended_takes_all_beneath_it_along(opened: Open) -> None:
    @tool(effect="read")
    async def hang() -> str:
        """Wait for ever."""
        await asyncio.Event().wait()
        return "never"

    deep = asyncio.Event()

    @tool(effect="read")
    async def until_deep() -> str:
        """Wait until the grandchild is at work."""
        await deep.wait()
        return "deep"

    def answer(request: Request) -> Turn:
        turn = sum(message.role == "assistant" for message in request.messages)
        prompt = prompt_of(request)
        if prompt == "grandchild":
            deep.set()
            return call("hang")
        if prompt == "child":
            return calls(spawn("grandchild"))
        if turn == 0:
            return calls(spawn("child", wait=False))
        child = next(m.parts[0].text for m in request.messages if m.role == "tool").split()[0]  # type: ignore[union-attr]
        terminate = Call("agent_terminate", {"child_id": child})
        script = [call("until_deep"), calls(terminate), calls(Call("agent_status", {"child_id": child, "wait": True}))]
        return [*script, calls(terminate), say("end")][turn - 1]

    async with opened(*(answer,) * 20, tools=(hang, until_deep), config=RULES) as (hands, model):
        assert (await end_of(hands)).reason == "done"
        assert [record.state for record in await children(hands)] == ["cancelled", "cancelled"]
        told = [returned(request) for request in model.requests if prompt_of(request) == "top"]
        assert "cancelled" in told[-2][0]
        assert "has ended already" in told[-1][0]


async def test_what_is_called_directly_has_no_children(opened: Open) -> None:
    async with opened() as (hands, _):
        assert "no sub-agent" in (await hands.call_tool("agent_list", {})).text
        for name, more in (("agent_message", {"message": "x"}), ("agent_terminate", {}), ("agent_status", {})):
            result = await hands.call_tool(name, {"child_id": "task_1", **more})
            assert (result.failed, "unknown_child" in result.text) == (True, True)


async def test_a_run_reaches_no_children_but_its_own(opened: Open) -> None:
    """The negative twin of the tools' own look: the services themselves refuse."""
    refused: list[str] = []

    @tool(effect="read")
    async def reach(ctx: ToolContext, child: str) -> str:
        """Speak to a stranger's child, and end it."""
        for act in (ctx.children.tell(child, "x", key="k"), ctx.children.cancel(child)):
            try:
                await act
            except autohands.AutoHandsError as error:
                refused.append(error.type)
        return "tried"

    def answer(request: Request) -> Turn:
        if prompt_of(request) == "reach":
            return say("end") if len(request.messages) > 1 else call("reach", child=stranger.id)
        return say("ok")

    async with opened(*(answer,) * 4, tools=(reach,), config=RULES) as (hands, _):
        stranger = await hands.submit(Task(prompt="stranger", not_before=2**45))
        await end_of(hands, "reach")
        assert refused == ["NotFound", "NotFound"]
        assert (await hands.storage.task(stranger.id)).state == "delayed"
