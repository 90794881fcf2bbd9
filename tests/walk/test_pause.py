"""Work for whoever serves the queue: submitted, paused, told, tried again, from other programs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands.protocols.changes import Pause
from autohands.protocols.context import ToolContext
from autohands.protocols.errors import RetryableError
from autohands.protocols.provider import Delta, Request, TextPiece
from autohands.protocols.queues import LimitQueues, QueueLimits
from autohands.protocols.task import Task
from autohands.sdk import tool
from autohands.testing.script import ScriptedCall, call, calls, say
from autohands.testing.scripted import Scripted

from .served import command, events, served

pytestmark = pytest.mark.slow


MANY = 100


async def test_a_running_task_rests_from_its_next_step_on_and_goes_on_where_it_was(home: Path, workspace: Path) -> None:
    ran: list[int] = []
    begun = asyncio.Event()

    @tool(effect="compensable")
    async def act(number: int) -> str:
        """Do something that takes a while."""
        ran.append(number)
        begun.set()
        await asyncio.sleep(0.03)
        return "done"

    many = calls(*(ScriptedCall("act", {"number": number}) for number in range(MANY)))
    config = {"policy": {"rule": [{"tool": "act", "then": "allow"}]}}
    async with served(home, workspace, many, say("All."), tools=(act,), config=config) as (hands, model):
        task = (await command("task", "submit", "do it all", directory=workspace)).out.strip()
        await begun.wait()
        assert "asked to rest" in (await command("task", "pause", task, directory=workspace)).out
        waited = (await events(hands, task, "task.waiting"))[-1]
        assert waited["reason"] == "paused"
        assert 0 < len(ran) < MANY
        shown = (await command("task", "show", task, "--json", directory=workspace)).json
        assert (shown["state"], shown["queue"]) == ("paused", "default")
        went_on = await command("task", "resume", task, directory=workspace)
        assert "in the queue default" in went_on.out
        ended = (await events(hands, task))[-1]
        assert (ended["reason"], ended["text"]) == ("done", "All.")
        assert ran == list(range(MANY)), "each step once, in order"
        assert len(model.requests) == 2


async def test_a_task_rests_before_the_model_is_asked_again(home: Path, workspace: Path) -> None:
    entered, go = asyncio.Event(), asyncio.Event()

    @tool(effect="read")
    async def look() -> str:
        """Look."""
        entered.set()
        await go.wait()
        return "seen"

    async with served(home, workspace, call("look"), say("Seen."), tools=(look,)) as (hands, model):
        task = (await command("task", "submit", "look", directory=workspace)).out.strip()
        await entered.wait()
        await hands.storage.commit(Pause(task=task))
        go.set()
        await events(hands, task, "task.waiting")
        assert len(model.requests) == 1
        await command("task", "resume", task, "--json", directory=workspace)
        assert (await events(hands, task))[-1]["text"] == "Seen."


async def test_a_signal_from_another_program_wakes_a_task_that_waits_over_a_restart(
    home: Path, workspace: Path
) -> None:
    @tool(effect="read")
    async def listen(ctx: ToolContext) -> str:
        """Wait for somebody to say go."""
        return str((await ctx.wait("signal:go"))["who"])

    script = (call("listen"), say("Heard."))
    async with served(home, workspace, *script, tools=(listen,)) as (hands, _):
        task = (await hands.submit(Task(prompt="listen", queue="default"))).id
        await events(hands, task, "task.waiting")
        assert (await hands.storage.task(task)).waits == ("signal:go",)
    for _ in range(2):  # said twice, and heard once
        await command("task", "signal", task, "go", '{"who": "me"}', "--key", "1", directory=workspace)
    async with served(home, workspace, *script[1:], tools=(listen,)) as (hands, model):
        told = await events(hands, task)
        assert told[-1]["text"] == "Heard."
        assert [event["result"]["text"] for event in told if event["type"] == "tool.finished"] == ["me"]
        assert len(model.requests) == 1
    refused = await command("task", "signal", task, "go", directory=workspace, status=1)
    assert "nothing of it listens" in refused.err


class Interrupted(Scripted):
    """A model whose first answer breaks off: it is not tried again within its run, since part of it was told."""

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Half an answer, then whole ones."""
        if not self.requests:
            self.requests.append(request)
            yield TextPiece("Half an ")
            raise RetryableError("it broke off", retry_after_seconds=400)
        async for delta in super().stream(request):
            yield delta


@pytest.mark.parametrize("attended", [True, False])
async def test_a_passing_fault_is_waited_out_unless_somebody_waits_for_the_answer(
    home: Path, workspace: Path, *, attended: bool
) -> None:
    async with served(home, workspace) as (hands, _):
        model = Interrupted("never", "At last.", name="broken")
        hands.kernel.registries.providers.add("test", ("broken", model))
        record = await hands.submit(Task(prompt="hi", model="broken/x", queue="default", attended=attended))
        if attended:
            ended = (await events(hands, record.id))[-1]
            assert (ended["reason"], ended["error"]) == ("failed", "it broke off")
            return
        waited = (await events(hands, record.id, "task.waiting"))[-1]
        assert waited["reason"] == "backoff"
        waiting = await hands.storage.task(record.id)
        assert (waiting.state, waiting.crashes, waiting.error) == ("waiting", 1, "it broke off")
        assert waiting.run_at - waiting.updated >= 400_000
        await hands.resume(record.id)
        assert (await events(hands, record.id))[-1]["text"] == "At last."


async def test_a_failed_task_goes_back_to_its_queue(home: Path, workspace: Path) -> None:
    async with served(home, workspace, ValueError("no"), say("Now.")) as (hands, _):
        task = (await command("task", "submit", "hi", directory=workspace)).out.strip()
        assert (await events(hands, task))[-1]["reason"] == "failed"
        listed = (await command("task", "list", "--state", "failed", "--json", directory=workspace)).json
        assert [item["id"] for item in listed["items"]] == [task]
        await command("task", "retry", task, directory=workspace)
        told = [json.loads(data) async for data in hands.follow(task)]
        assert told[-1]["text"] == "Now."
        again = await command("task", "retry", task, directory=workspace, status=1)
        assert "only what is dead or failed" in again.err


async def test_submit_takes_what_a_task_takes(home: Path, workspace: Path) -> None:
    async with served(home, workspace, say("One."), say("Two.")) as (hands, _):
        first = (await command("task", "submit", "one", "--key", "k", directory=workspace)).out.strip()
        again = (await command("task", "submit", "one", "--key", "k", directory=workspace)).out.strip()
        assert again == first
        options: tuple[str, ...] = (
            "--background",
            "--after",
            first,
            "--priority",
            "high",
            "--payload",
            '{"n": 1}',
            "--source",
            "hook",
        )
        options += ("--not-before", "1s", "--deadline", "2h", "--reply-to", "mail:me", "--session", "s1", "--json")
        made = (await command("task", "submit", "two", *options, directory=workspace)).json
        record = await hands.storage.task(made["id"])
        task = record.task
        assert (task.queue, task.after, task.priority, task.payload) == ("background", (first,), "high", {"n": 1})
        assert (task.source, task.reply_address, task.workspace) == ("hook", "mail:me", str(workspace))
        assert task.deadline is not None
        assert task.not_before is not None
        assert task.deadline - task.not_before > 3_600_000
    for wrong, why in (
        (("--priority", "huge"), "priority"),
        (("--not-before", "soon"), "is no time"),
        (("--payload", "[]"), "not a JSON object"),
        (("--model", "gpt"), "names no provider"),
        (("--after", "task_none"), "there is no task"),
    ):
        refused = await command("task", "submit", "x", *wrong, directory=workspace, status=2)
        assert why in refused.err


async def test_submit_follows_and_says_when_to_come_back(home: Path, workspace: Path) -> None:
    async with served(home, workspace, say("Followed.")) as (hands, _):
        done = await command("task", "submit", "-", "--follow", "--json", directory=workspace, status=2)
        assert "the prompt is empty" in done.err
        done = await command("task", "submit", "hi", "--follow", "--json", directory=workspace)
        assert done.events[-1]["text"] == "Followed."
        await hands.storage.commit(LimitQueues(limits=(QueueLimits(name="default", depth=1),)))
        await command("task", "submit", "hi", "--not-before", "1h", directory=workspace)
        busy = await command("task", "submit", "hi", "--json", directory=workspace, status=1)
        assert json.loads(busy.err)["error"]["type"] == "TooBusy"
        assert "try again in" in json.loads(busy.err)["error"]["hint"]
