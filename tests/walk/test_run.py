"""One process, the whole way: a prompt becomes a task, the model asks for tools, the journal tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

import autohands
from autohands.protocols.errors import AutoHandsError, BadRequest, NotFound, ToolError
from autohands.protocols.events import ApprovalRequested, Event, RunFinished, TaskWaiting
from autohands.protocols.messages import Message, ToolReturn, Usage
from autohands.protocols.provider import Delta, ModelInfo, Request
from autohands.protocols.task import Task
from autohands.sdk import tool
from autohands.testing.script import ScriptedCall, Turn, call, calls
from autohands.testing.scripted import Scriptable, Scripted

from .conftest import Open


async def events_of(hands: autohands.Hands, prompt: str, **options: object) -> list[Event]:
    """All events of a run."""
    return [event async for event in hands.run(prompt, **options)]  # type: ignore[arg-type]


def finished(events: list[Event]) -> RunFinished:
    """The one last event."""
    ends = [event for event in events if isinstance(event, RunFinished)]
    assert len(ends) == 1
    assert events[-1] is ends[0]
    return ends[0]


async def test_files_are_written_through_the_whole_walk(opened: Open, workspace: Path) -> None:
    replies = (call("write_file", path="a.txt", content="hello\n"), call("read_file", path="a.txt"), "It says hello.")
    async with opened(*replies) as (hands, model):
        events = await events_of(hands, "Write a file", consent="workspace", session="s1")
        assert finished(events).text == "It says hello."
        assert (workspace / "a.txt").read_text() == "hello\n"
        kinds = [type(event).__struct_config__.tag for event in events if type(event).__name__ != "TextDelta"]
        assert kinds[:4] == ["task.queued", "run.started", "turn.started", "budget.reserved"]
        assert [event.seq for event in events if hasattr(event, "seq")] == list(range(1, len(kinds) + 1))
        assert "hello" in str(model.requests[-1].messages)


async def test_the_prefix_of_each_request_is_the_one_before(opened: Open) -> None:
    replies = (call("list_directory", path="."), call("glob", pattern="*"), "Empty.", "Still empty.")
    async with opened(*replies) as (hands, model):
        await hands.ask("What is here?", session="s1")
        await hands.ask("And now?", session="s1")
        for before, after in zip(model.requests, model.requests[1:], strict=False):
            assert after.messages[: len(before.messages)] == before.messages
            assert (after.system, after.tools) == (before.system, before.tools)


async def test_a_session_goes_on_after_a_restart(opened: Open) -> None:
    async with opened("Your name is Ada.") as (hands, before):
        await hands.ask("I am Ada", session="s1")
    async with opened("Ada.") as (hands, after):
        assert await hands.ask("Who am I?", session="s1") == "Ada."
        said = [message.text.split("<")[0] for message in after.requests[0].messages]
        assert said == ["I am Ada", "Your name is Ada.", "Who am I?"]
        assert after.requests[0].messages[0] == before.requests[0].messages[0]


async def test_reads_run_side_by_side_and_effects_in_the_order_asked(opened: Open) -> None:
    barrier, order = asyncio.Barrier(2), list[str]()

    @tool(effect="read")
    async def meet(name: str) -> str:
        """Wait for the other one."""
        await barrier.wait()
        return name

    @tool(effect="compensable")
    async def change(name: str) -> str:
        """Note the order."""
        order.append(f"begin {name}")
        await asyncio.sleep(0)
        order.append(f"end {name}")
        return name

    asked = calls(
        ScriptedCall("meet", {"name": "a"}),
        ScriptedCall("meet", {"name": "b"}),
        ScriptedCall("change", {"name": "c"}),
        ScriptedCall("change", {"name": "d"}),
    )
    async with opened(asked, "ok", tools=(meet, change)) as (hands, model):
        await hands.ask("Go", consent="workspace")
        returned = [part.text for part in model.requests[1].messages[-1].parts if isinstance(part, ToolReturn)]
    assert returned == ["a", "b", "c", "d"]
    assert order == ["begin c", "end c", "begin d", "end d"]


async def test_without_consent_an_effect_is_denied_and_the_model_reads_why(opened: Open, workspace: Path) -> None:
    replies = (call("write_file", path="a.txt", content="x"), "I may not.")
    async with opened(*replies) as (hands, model):
        events = await events_of(hands, "Write", consent="deny")
        assert finished(events).reason == "done"
        assert "denied: nobody is there" in str(model.requests[1].messages[-1])
    assert not (workspace / "a.txt").exists()


async def test_a_model_that_insists_on_what_was_denied_ends_the_run(opened: Open) -> None:
    again = call("write_file", path="a.txt", content="x")
    async with opened(again, again, "never said") as (hands, _):
        assert finished(await events_of(hands, "Write", consent="deny")).reason == "denied"


async def test_fs12_a_protected_path_is_denied_even_with_yes(opened: Open, workspace: Path) -> None:
    async with opened(call("write_file", path=".git/hooks/post-checkout", content="x"), "no") as (hands, _):
        await events_of(hands, "Write", consent="workspace")
    assert not (workspace / ".git").exists()


@pytest.mark.parametrize("allow", [True, False])
async def test_an_approval_parks_the_run_and_its_answer_wakes_it(opened: Open, workspace: Path, allow: bool) -> None:
    replies = (call("write_file", path="a.txt", content="x"), "Done.")
    async with opened(*replies) as (hands, model):
        seen: list[Event] = []
        async for event in hands.run("Write", consent="ask"):
            seen.append(event)
            if isinstance(event, TaskWaiting):
                asked = next(each for each in seen if isinstance(each, ApprovalRequested))
                assert "a.txt" in asked.preview
                assert not (workspace / "a.txt").exists()
                await hands.decide(asked.approval, allow=allow)
        assert finished(seen).reason == "done"
        assert ("said no" in str(model.requests[1].messages[-1])) is not allow
    assert (workspace / "a.txt").exists() is allow


async def test_words_said_meanwhile_join_the_next_turn(opened: Open) -> None:
    said = asyncio.Event()

    @tool(effect="read")
    async def think() -> str:
        """Wait until something was said."""
        await said.wait()
        return "thought"

    async with opened(call("think"), "Shorter.", tools=(think,)) as (hands, model):
        record = await hands.submit(Task(prompt="Write", session="s1"))
        async for data in hands.follow(record.id):
            if b"tool.started" in data:
                assert await hands.speak("s1", "but keep it short") == record.id
                said.set()
        assert model.requests[1].messages[-1].text == "but keep it short"


class Pausing(Scripted):
    """Answers only after it is let go."""

    def __init__(self, *replies: Scriptable) -> None:
        super().__init__(*replies, name="pausing")
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The next reply, later."""
        self.asked.set()
        await self.go.wait()
        async for delta in super().stream(request):
            yield delta


async def test_words_said_during_the_last_reply_are_not_lost(opened: Open) -> None:
    model = Pausing("The end.", "Really the end.")
    async with opened() as (hands, _):
        hands.kernel.registries.providers.add("test", ("pausing", model))
        record = await hands.submit(Task(prompt="Go", session="s1", model="pausing/x"))
        await model.asked.wait()
        await hands.speak("s1", "one more thing")
        model.go.set()
        events = [data async for data in hands.follow(record.id)]
    assert len(model.requests) == 2
    assert model.requests[1].messages[-1].text == "one more thing"
    assert b"Really the end." in events[-1]


async def test_a_cancelled_run_ends_once_and_stops_its_tool(opened: Open) -> None:
    stopped = asyncio.Event()

    @tool(effect="read")
    async def hang() -> str:
        """Never end."""
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    async with opened(call("hang"), tools=(hang,)) as (hands, _):
        record = await hands.submit(Task(prompt="Hang"))
        events = []
        async for data in hands.follow(record.id):
            events.append(data)
            if b"tool.started" in data:
                await hands.cancel(record.id)
        assert stopped.is_set()
        assert [b'"run.finished"' in data for data in events].count(True) == 1
        assert (await hands.storage.task(record.id)).state == "cancelled"


async def test_limits_end_a_run_with_their_reason(opened: Open) -> None:
    again: list[Turn] = [call("glob", pattern=f"{number}") for number in range(5)]
    async with opened(*again) as (hands, _):
        assert finished(await events_of(hands, "Go", max_turns=2)).reason == "turn_limit"


async def test_bu01_the_budget_stops_the_call_that_would_exceed_it(home: Path, workspace: Path) -> None:
    dear = ModelInfo(name="dear", output_tokens=1000, input_price=1_000_000, output_price=10_000_000)
    usage = Usage(input=1000, output=1000)
    model = Scripted(
        *(Turn(calls=(ScriptedCall("glob", {"pattern": f"{n}"}),), usage=usage) for n in range(9)), model=dear
    )
    async with autohands.open(home, workspace) as hands:
        hands.kernel.registries.providers.add("test", ("scripted", model))
        events = await events_of(hands, "Go", model="scripted/dear", budget_usd=0.035)
        end = finished(events)
        assert end.reason == "budget"
        assert len(model.requests) == 3 or len(model.requests) == 2
        assert end.micro_usd <= 35_000
        assert end.micro_usd == 11_000 * len(model.requests)


async def test_pr08_pr09_calls_that_cannot_run_are_answered_not_repaired(opened: Open) -> None:
    ran: list[str] = []

    @tool(effect="read")
    async def look(path: str) -> str:
        """Look."""
        ran.append(path)
        return path

    wrong = calls(
        ScriptedCall("look", '{"path": "a'),
        ScriptedCall("lok", {"path": "a"}),
        ScriptedCall("look", {"pth": "a"}),
        ScriptedCall("look", {"path": "a"}),
    )
    async with opened(wrong, "ok", tools=(look,)) as (hands, model):
        await hands.ask("Go")
        texts = [part.text for part in model.requests[1].messages[-1].parts if isinstance(part, ToolReturn)]
    assert ran == ["a"]
    assert texts[0].startswith("invalid_arguments")
    assert "unknown_tool" in texts[1]
    assert "look" in texts[1]
    assert "did you mean `path`" in texts[2]


async def test_pr12_empty_answers_are_asked_again_and_then_given_up(opened: Open) -> None:
    async with opened("", "  ", "Here.") as (hands, _):
        assert await hands.ask("Go") == "Here."
    async with opened("", "", "", "", "never") as (hands, model):
        assert finished(await events_of(hands, "Go")).reason == "failed"
        assert len(model.requests) == 4


async def test_an_answer_cut_short_is_continued(opened: Open) -> None:
    async with opened(Turn(text="half", stop="length"), "the other half") as (hands, model):
        assert await hands.ask("Go") == "the other half"
        assert "Go on exactly" in model.requests[1].messages[-1].text


async def test_a_provider_that_fails_for_good_ends_the_run_with_its_words(opened: Open) -> None:
    def refuse(request: Request) -> Exception:
        return autohands.AutoHandsError("no such model", hint="pick another")

    async with opened(refuse) as (hands, _):
        end = finished(await events_of(hands, "Go"))
        assert (end.reason, end.error) == ("failed", "no such model (pick another)")


async def test_a_tool_that_crashes_is_a_result(opened: Open) -> None:
    @tool(effect="read")
    async def crash() -> str:
        """Crash."""
        raise ZeroDivisionError("by zero")

    async with opened(call("crash"), "I saw.", tools=(crash,)) as (hands, model):
        assert await hands.ask("Go") == "I saw."
        assert "tool_crashed: ZeroDivisionError: by zero" in str(model.requests[1].messages[-1])


async def test_a_guard_that_breaks_denies(opened: Open) -> None:
    async def broken(*_: object) -> Awaitable[None]:
        raise RuntimeError("broken")

    async with opened(call("glob", pattern="*"), "ok") as (hands, model):
        hands.kernel.registries.guards.add("test", ("broken", broken))  # type: ignore[arg-type]
        await hands.ask("Go")
        assert "denied: a guard failed" in str(model.requests[1].messages[-1])


async def test_a_policy_rule_denies_even_a_direct_call(opened: Open, workspace: Path) -> None:
    rule = {"policy": {"rule": [{"tool": "write_file", "then": "deny"}]}}
    async with opened(config=rule) as (hands, _):
        result = await hands.call_tool("write_file", {"path": "a", "content": "x"})
        assert result.failed
        assert "policy forbids" in result.text
    assert not (workspace / "a").exists()


async def test_tools_can_be_called_directly(opened: Open, workspace: Path) -> None:
    async with opened() as (hands, _):
        result = await hands.call_tool("write_file", {"path": "a.txt", "content": "x"})
        assert not result.failed
        with pytest.raises(NotFound, match="write_file"):
            await hands.call_tool("wrte_file", {})
        with pytest.raises(ToolError, match="missing argument `content`"):
            await hands.call_tool("write_file", {"path": "a"})
    assert (workspace / "a.txt").read_text() == "x"


async def test_a_model_that_does_not_exist_is_named(opened: Open) -> None:
    async with opened() as (hands, _):
        end = finished(await events_of(hands, "Go", model="opnai/x"))
        assert "did you mean 'openai'" in end.error
        with pytest.raises(BadRequest, match="empty"):
            await hands.ask("  ")
        with pytest.raises(AutoHandsError, match="scripted"):
            await hands.ask("Go", model="nothing")


async def test_the_same_idempotency_key_is_the_same_task(opened: Open) -> None:
    async with opened("one", "two") as (hands, model):
        first = await hands.submit(Task(prompt="Go", idempotency_key="k1"))
        assert (await hands.submit(Task(prompt="Go", idempotency_key="k1"))).id == first.id
        with pytest.raises(autohands.AutoHandsError, match="k1"):
            await hands.submit(Task(prompt="Other", idempotency_key="k1"))
        async for _ in hands.follow(first.id):
            pass
        assert len(model.requests) == 1


async def test_messages_keep_their_shape(opened: Open) -> None:
    async with opened(call("glob", pattern="*"), "ok") as (hands, model):
        await hands.ask("Go")
        roles = [message.role for message in model.requests[1].messages]
        assert roles == ["user", "assistant", "tool"]
        assert all(isinstance(message, Message) for message in model.requests[1].messages)


async def test_fs12_a_protected_path_asks_the_person_who_is_there_even_with_yes(opened: Open, workspace: Path) -> None:
    async with opened(call("write_file", path=".env", content="x"), "Done.") as (hands, _):
        record = await hands.submit(Task(prompt="Write", consent="workspace", attended=True))
        async for data in hands.follow(record.id):
            if b'"approval.requested"' in data:
                (asked,) = await hands.storage.approvals()
                await hands.decide(asked.id, allow=True)
    assert (workspace / ".env").read_text() == "x"


async def test_what_was_spent_before_a_wait_is_booked(home: Path, workspace: Path) -> None:
    dear = ModelInfo(name="dear", output_tokens=1000, input_price=1_000_000, output_price=10_000_000)
    turn = Turn(calls=(ScriptedCall("write_file", {"path": "a", "content": "x"}),), usage=Usage(input=1000, output=10))
    async with autohands.open(home, workspace) as hands:
        model = Scripted(turn, Turn(text="Done.", usage=Usage(input=1000, output=10)), model=dear)
        hands.kernel.registries.providers.add("test", ("scripted", model))
        async for event in hands.run("Go", model="scripted/dear"):
            if isinstance(event, TaskWaiting):
                assert await hands.storage.spent() == 1_100
                (asked,) = await hands.storage.approvals()
                await hands.decide(asked.id, allow=True)
            if isinstance(event, RunFinished):
                assert event.micro_usd == 2_200
