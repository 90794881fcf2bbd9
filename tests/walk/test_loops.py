"""A model that goes round in circles is warned, denied and stopped, and a restart makes nobody forget it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from autohands.protocols.events import RunFinished
from autohands.protocols.messages import ToolReturn
from autohands.protocols.provider import Request
from autohands.protocols.task import Task
from autohands.sdk import ToolError, tool
from autohands.testing.script import Turn, call, say
from autohands.testing.scripted import Scriptable, Scripted

from .conftest import Open

ran: list[str] = []


@tool(effect="read")
async def look(name: str = "a") -> str:
    """Look."""
    ran.append(name)
    return f"{name} is as it was"


@tool(effect="read")
async def clock() -> str:
    """Tell the time."""
    ran.append("clock")
    return f"it is {len(ran)}"


@tool(effect="read", poll=0.0)
async def progress() -> str:
    """Tell how far it is."""
    ran.append("progress")
    return "not yet"


@tool(effect="read", poll=3600.0)
async def hourly() -> str:
    """Tell how far it is, once an hour."""
    ran.append("hourly")
    return "not yet"


@tool(effect="read")
async def broken(name: str = "a") -> str:
    """Fail."""
    ran.append(name)
    raise ToolError("no_such_thing: it is not there")


TOOLS = (look, clock, progress, hourly, broken)


def told(model: Scripted) -> list[str]:
    """What the model read of each call."""
    last = max(model.requests, key=lambda request: len(request.messages))
    return [part.text for message in last.messages for part in message.parts if isinstance(part, ToolReturn)]


async def end(opened: Open, *turns: Scriptable, **more: Any) -> tuple[RunFinished, list[str]]:
    """How a run of these turns ends, and what the model read."""
    ran.clear()
    async with opened(*turns, say("That is all."), tools=TOOLS, **more) as (hands, model):
        events = [event async for event in hands.run("Go", consent="workspace")]
        assert isinstance(events[-1], RunFinished)
        return events[-1], told(model)


async def test_bu05_the_same_call_is_warned_of_denied_and_ends_the_run(opened: Open) -> None:
    finished, read = await end(opened, *[call("look")] * 8)
    assert (finished.reason, len(ran)) == ("loop", 4)
    assert read[:3] == ["a is as it was"] * 3
    assert read[3].startswith("a is as it was\n\n[loop: you have made this call 4 times in a row, with the same result")
    assert read[4].startswith("denied: loop_detected: ")


async def test_bu05_other_calls_in_between_are_no_loop(opened: Open) -> None:
    turns = [call("look", name=str(number % 3)) for number in range(30)]
    finished, read = await end(opened, *turns)
    assert (finished.reason, len(ran)) == ("done", 30)
    assert not any("[loop:" in text for text in read)


async def test_bu05_a_model_that_heeds_the_warning_goes_on(opened: Open) -> None:
    turns = [call("look")] * 5 + [call("look", name="b")] + [call("look")] * 3
    finished, _ = await end(opened, *turns)
    assert (finished.reason, len(ran)) == ("done", 8)


async def test_bu05_back_and_forth(opened: Open) -> None:
    turns = [call("look", name="ab"[number % 2]) for number in range(12)]
    finished, read = await end(opened, *turns)
    assert (finished.reason, len(ran)) == ("loop", 6)
    assert "[loop:" not in read[4]
    assert "[loop: you have gone back and forth between two calls" in read[5]
    assert read[6].startswith("denied: loop_detected: ")


async def test_bu05_the_same_error_of_the_same_call(opened: Open) -> None:
    finished, read = await end(opened, *[call("broken")] * 6)
    assert (finished.reason, len(ran)) == ("loop", 3)
    assert "it failed each time with the same error" in read[2]


async def test_bu05_the_same_error_of_other_calls_of_a_tool(opened: Open) -> None:
    finished, read = await end(opened, *[call("broken", name=str(number)) for number in range(12)])
    assert (finished.reason, len(ran)) == ("loop", 6)
    assert "[loop:" not in read[1]
    assert "3 calls of broken in a row have failed with the same error" in read[2]


async def test_bu05_the_same_call_with_another_result_each_time(opened: Open) -> None:
    finished, read = await end(opened, *[call("clock")] * 24)
    assert (finished.reason, len(ran)) == ("loop", 20)
    assert "[loop:" not in read[18]
    assert "[loop: you have made this call 20 times in a row." in read[19]


async def test_bu05_who_polls_at_the_declared_interval_repeats_nothing(opened: Open) -> None:
    finished, read = await end(opened, *[call("progress")] * 24)
    assert (finished.reason, len(ran)) == ("done", 24)
    assert not any("[loop:" in text for text in read)


async def test_bu05_who_polls_faster_than_that_does(opened: Open) -> None:
    finished, _ = await end(opened, *[call("hourly")] * 8)
    assert (finished.reason, len(ran)) == ("loop", 5), "the first one polls, four repeat it"


async def test_bu05_the_same_call_many_times_in_one_reply(opened: Open) -> None:
    five = Turn(calls=call("look").calls * 5)
    finished, read = await end(opened, five, five, five)
    assert finished.reason == "loop"
    assert len(ran) == 5
    assert all(text.startswith("denied: loop_detected: ") for text in read[5:10])


async def test_bu05_a_restart_makes_nobody_forget(opened: Open, workspace: Path) -> None:
    ran.clear()
    asked = asyncio.Event()

    def hang(request: Request) -> Turn:
        asked.set()
        return Turn(text="well " * 1000, pause_seconds=1.0)

    async with opened(*[call("look")] * 4, hang, tools=TOOLS) as (hands, _):
        record = await hands.submit(Task(prompt="Go"))
        await asked.wait()
    async with opened(*[call("look")] * 4, tools=TOOLS) as (hands, model):
        await hands.resume(record.id)
        last = [data async for data in hands.follow(record.id)][-1]
        assert b'"reason":"loop"' in last
        assert len(ran) == 4
        assert len(model.requests) == 2, "one call was denied, the next one ended the run"


async def test_who_insists_on_what_was_denied_is_remembered_over_a_restart(opened: Open, workspace: Path) -> None:
    asked = asyncio.Event()

    def hang(request: Request) -> Turn:
        asked.set()
        return Turn(text="well " * 1000, pause_seconds=1.0)

    write = call("write_file", path="a", content="b")
    async with opened(write, hang) as (hands, _):
        record = await hands.submit(Task(prompt="Go", consent="deny"))
        await asked.wait()
    async with opened(write, say("Well then.")) as (hands, model):
        await hands.resume(record.id)
        last = [data async for data in hands.follow(record.id)][-1]
        assert b'"reason":"denied"' in last
        assert len(model.requests) == 1
