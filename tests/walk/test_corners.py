"""The corners of a run: what is lost, doubled, let through or kept open where two things happen at once."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import autohands
from autohands.protocols.changes import Signal
from autohands.protocols.context import ToolContext
from autohands.protocols.errors import BadRequest
from autohands.protocols.events import Event, RunFinished, TaskWaiting
from autohands.protocols.messages import ToolReturn, Usage
from autohands.protocols.provider import Delta, ModelInfo, Request, TextPiece
from autohands.protocols.task import Task, TaskRecord
from autohands.protocols.tool import Arguments, Effect, ToolResult
from autohands.sdk import tool
from autohands.sdk.identity import now_ms
from autohands.testing.script import ScriptedCall, Turn, call, calls
from autohands.testing.scripted import Scriptable, Scripted

from .conftest import Open

RULE_ALLOW = {"policy": {"rule": [{"tool": "*", "then": "allow"}]}}


async def events_of(hands: autohands.Hands, prompt: str, **options: Any) -> list[Event]:
    """All events of a run."""
    return [event async for event in hands.run(prompt, **options)]


async def end_of(hands: autohands.Hands, task: str) -> TaskRecord:
    """The task once it has ended."""
    async for _ in hands.follow(task):
        pass
    return await hands.storage.task(task)


async def state_of(hands: autohands.Hands, task: str, kind: bytes) -> None:
    """Return as soon as an event of a kind is seen."""
    async for data in hands.follow(task):
        if b'"%b"' % kind in data:
            return


def returned(request: Request) -> list[str]:
    """What the tools answered last."""
    return [part.text for part in request.messages[-1].parts if isinstance(part, ToolReturn)]


class Hanging(Scripted):
    """Never answers its last request, but tells that it was asked."""

    def __init__(self, *replies: Scriptable) -> None:
        super().__init__(*replies, name="hanging")
        self.asked = asyncio.Event()

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The next reply, or none."""
        if len(self.requests) == len(self._replies):
            self.requests.append(request)
            self.asked.set()
            await asyncio.Event().wait()
        async for delta in super().stream(request):
            yield delta


# --- nothing is lost or doubled -------------------------------------------------------------------------------------


async def test_words_read_by_a_turn_that_never_was_are_read_again(opened: Open) -> None:
    said = asyncio.Event()

    @tool(effect="read")
    async def think() -> str:
        """Wait until something was said."""
        await said.wait()
        return "thought"

    first = Hanging(call("think"))
    async with opened(tools=(think,)) as (hands, _):
        hands.kernel.registries.providers.add("test", ("hanging", first))
        record = await hands.submit(Task(prompt="Write", session="s1", model="hanging/x"))
        await state_of(hands, record.id, b"tool.started")
        await hands.speak("s1", "keep it short")
        said.set()
        await first.asked.wait()
    async with opened(tools=(think,)) as (hands, _):
        second = Hanging("Short.")
        hands.kernel.registries.providers.add("test", ("hanging", second))
        await hands.resume(record.id)
        assert (await end_of(hands, record.id)).text == "Short."
        assert second.requests[0].messages == first.requests[1].messages
        assert second.requests[0].messages[-1].text == "keep it short"


async def test_words_nobody_read_before_a_limit_are_heard_by_the_next_task(opened: Open) -> None:
    spoken = asyncio.Event()

    @tool(effect="read")
    async def think() -> str:
        """Wait until something was said."""
        await spoken.wait()
        return "thought"

    async with opened(call("think"), "Yes.", tools=(think,)) as (hands, model):
        record = await hands.submit(Task(prompt="Go", session="s1", max_turns=1))
        await state_of(hands, record.id, b"tool.started")
        await hands.speak("s1", "mind the gap")
        spoken.set()
        assert (await end_of(hands, record.id)).reason == "turn_limit"
        await hands.ask("Did you hear?", session="s1")
        assert "mind the gap" in [message.text for message in model.requests[1].messages]


async def test_a_failed_task_that_is_taken_up_again_is_not_told_twice(opened: Open) -> None:
    def broken(request: Request) -> Exception:
        return autohands.AutoHandsError("not now")

    async with opened(call("glob", pattern="*"), broken, "Two.", "One.", "Three.") as (hands, model):
        first = await hands.submit(Task(prompt="first", session="s1"))
        assert (await end_of(hands, first.id)).state == "failed"
        await hands.ask("second", session="s1")
        await hands.resume(first.id)
        async for _ in hands.follow(first.id, after=(await last_seq(hands, first.id))):
            pass
        said = [message.text.split("<")[0] for message in model.requests[3].messages if message.role == "user"]
        assert said == ["second", "first"]
        await hands.ask("third", session="s1")
        live = model.requests[4].messages
    async with opened("Four.") as (hands, again):
        await hands.ask("fourth", session="s1")
        assert again.requests[0].messages[: len(live)] == live


async def last_seq(hands: autohands.Hands, task: str) -> int:
    """How many events of a task are stored, the redo's `task.queued` not counted."""
    return len(await hands.journal.events(task)) - 1


async def test_what_another_process_added_to_an_old_task_is_seen(opened: Open, home: Path, workspace: Path) -> None:
    def broken(request: Request) -> Exception:
        return autohands.AutoHandsError("not now")

    async with opened(broken, "Two.", "Three.") as (here, model):
        first = await here.submit(Task(prompt="first", session="s1"))
        assert (await end_of(here, first.id)).state == "failed"
        await here.ask("second", session="s1")
        there = Scripted("One, at last.")
        async with autohands.open(home, workspace, {"model": "scripted/scripted"}) as other:
            other.kernel.registries.providers.add("test", ("scripted", there))
            await other.resume(first.id)
            async for _ in other.follow(first.id, after=(await last_seq(other, first.id))):
                pass
        await here.ask("third", session="s1")
        assert "One, at last." in [message.text for message in model.requests[2].messages]


async def test_effects_behind_one_that_waits_for_a_person_wait_and_those_before_do_not(opened: Open) -> None:
    done: list[str] = []

    @tool(effect="compensable")
    async def free(name: str) -> str:
        """Do it."""
        done.append(name)
        return name

    @tool(effect="idempotent")
    async def again(name: str) -> str:
        """Do it, again and again."""
        done.append(name)
        return name

    @tool(effect="irreversible")
    async def asks(name: str) -> str:
        """Do it if allowed."""
        done.append(name)
        return name

    one = calls(
        ScriptedCall("free", {"name": "a"}),
        ScriptedCall("asks", {"name": "b"}),
        ScriptedCall("again", {"name": "c"}),
        ScriptedCall("free", {"name": "d"}),
    )
    rules = {"policy": {"rule": [{"tool": "free", "then": "allow"}, {"tool": "again", "then": "allow"}]}}
    async with opened(one, "ok", tools=(free, again, asks), config=rules) as (hands, model):
        async for event in hands.run("Go", consent="ask"):
            if isinstance(event, TaskWaiting):
                assert done == ["a"]
                (asked,) = await hands.storage.approvals()
                await hands.decide(asked.id, allow=True)
        assert done == ["a", "b", "c", "d"]
        assert returned(model.requests[1]) == done


async def test_children_go_on_where_their_parent_is_resumed(opened: Open) -> None:
    go = asyncio.Event()

    @tool(effect="idempotent")
    async def delegate(ctx: ToolContext) -> str:
        """Have another task do it."""
        child = await ctx.submit(Task(prompt="child"))
        return str((await ctx.wait(f"child:{child.id}"))["text"])

    @tool(effect="read")
    async def hang() -> str:
        """Wait to be let go."""
        await go.wait()
        return "went"

    def answer(request: Request) -> Turn:
        if request.messages[-1].role == "tool":
            return Turn(text="ended")
        return call("hang") if request.messages[0].text.startswith("child") else call("delegate")

    async with opened(*(answer,) * 4, tools=(delegate, hang), config=RULE_ALLOW) as (hands, _):
        top = await hands.submit(Task(prompt="top"))
        await state_of(hands, top.id, b"task.waiting")
    go.set()
    async with opened(*(answer,) * 4, tools=(delegate, hang), config=RULE_ALLOW) as (hands, _):
        await hands.resume(top.id)
        assert (await end_of(hands, top.id)).state == "done"


async def test_a_task_that_waits_ends_at_its_deadline(opened: Open) -> None:
    async with opened(call("write_file", path="a", content="x")) as (hands, _):
        events = await events_of(hands, "Go", consent="ask", deadline=now_ms() + 1500)
        end = events[-1]
        assert isinstance(end, RunFinished)
        assert end.reason == "time_limit"


# --- tools ----------------------------------------------------------------------------------------------------------


async def test_an_effect_that_waits_is_told_that_it_cannot(opened: Open) -> None:
    @tool(effect="compensable")
    async def pay(ctx: ToolContext) -> str:
        """Wait in the middle of an effect."""
        return str(await ctx.wait("signal:paid"))

    async with opened(call("pay"), "ok", tools=(pay,), config=RULE_ALLOW) as (hands, model):
        await hands.ask("Go")
        assert "cannot_wait: pay" in returned(model.requests[1])[0]


async def test_a_tool_may_wait_for_several_at_once(opened: Open) -> None:
    @tool(effect="idempotent")
    async def both(ctx: ToolContext) -> str:
        """Wait for two signals side by side."""
        async with asyncio.TaskGroup() as tasks:
            one, two = tasks.create_task(ctx.wait("one")), tasks.create_task(ctx.wait("two"))
        return f"{one.result()['n']}{two.result()['n']}"

    async with opened(call("both"), "ok", tools=(both,), config=RULE_ALLOW) as (hands, model):
        record = await hands.submit(Task(prompt="Go"))
        await state_of(hands, record.id, b"task.waiting")
        await hands.storage.commit(Signal(task=record.id, topic="one", payload={"n": 1}))
        await hands.storage.commit(Signal(task=record.id, topic="two", payload={"n": 2}))
        assert (await end_of(hands, record.id)).state == "done"
        assert returned(model.requests[1]) == ["12"]


@tool(effect="read")
async def opaque() -> ToolResult:
    """Answer what JSON cannot carry."""
    return ToolResult("x", data={"what": object()})


@tool(effect="read")
async def leave() -> str:
    """Leave the program."""
    sys.exit(3)


@tool(effect="read")
async def give_up() -> str:
    """Cancel a part of oneself and wait for it."""
    part = asyncio.ensure_future(asyncio.Event().wait())
    part.cancel()
    await part
    return "never"


@tool(effect="read")
async def late() -> str:
    """A time limit of one's own."""
    raise TimeoutError("the printer did not answer")


@pytest.mark.parametrize(
    ("broken", "text"),
    [(opaque, "tool_crashed"), (leave, "tool_crashed: SystemExit"), (give_up, "tool_crashed"), (late, "the printer")],
)
@pytest.mark.parametrize("number", [1, 2])
async def test_whatever_a_tool_does_the_run_goes_on(opened: Open, broken: Any, text: str, number: int) -> None:
    turn = calls(*(ScriptedCall(broken.schema.name) for _ in range(number)))
    async with opened(turn, "I saw.", tools=(broken,)) as (hands, model):
        assert await hands.ask("Go") == "I saw."
        assert [text in each for each in returned(model.requests[1])] == [True] * number


async def test_data_without_end_is_left_out(opened: Open) -> None:
    @tool(effect="read")
    async def much() -> dict[str, str]:
        """Answer 20 MB."""
        return {"much": "x" * 20_000_000}

    async with opened(call("much"), "ok", tools=(much,)) as (hands, _):
        assert await hands.ask("Go") == "ok"
        (task,) = await hands.storage.tasks()
        assert task.attempt == 1


ROOMY = ModelInfo(name="roomy", context_tokens=20_000_000, input_price=0, output_price=0)


async def test_a_prompt_of_ten_million_characters_is_taken(opened: Open) -> None:
    roomy = Scripted("Long.", name="roomy", model=ROOMY)
    async with opened() as (hands, _):
        hands.kernel.registries.providers.add("test", ("roomy", roomy))
        assert await hands.ask("é" * 9_000_000, model="roomy/roomy") == "Long."


async def test_progress_of_any_text_is_shown(opened: Open) -> None:
    @tool(effect="read")
    async def talk(ctx: ToolContext) -> str:
        """Talk nonsense."""
        ctx.progress("bad \ud800")
        ctx.progress("x" * 20_000_000)
        return "told"

    async with opened(call("talk"), "ok", tools=(talk,)) as (hands, model):
        assert await hands.ask("Go") == "ok"
        assert returned(model.requests[1]) == ["told"]


async def test_a_tool_that_ignores_cancellation_does_not_keep_its_run(opened: Open) -> None:
    @tool(effect="read")
    async def stubborn() -> str:
        """Take no notice."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "still here"

    async with opened(call("stubborn"), "never", tools=(stubborn,)) as (hands, model):
        record = await hands.submit(Task(prompt="Go"))
        await state_of(hands, record.id, b"tool.started")
        await hands.cancel(record.id)
        assert (await end_of(hands, record.id)).state == "cancelled"
        assert len(model.requests) == 1


async def test_an_effect_that_runs_out_of_time_may_have_happened(opened: Open) -> None:
    @tool(effect="irreversible", timeout_seconds=0.05)
    async def send() -> str:
        """Take too long."""
        await asyncio.Event().wait()
        return ""

    async with opened(call("send"), "ok", tools=(send,), config=RULE_ALLOW) as (hands, model):
        await hands.ask("Go")
        assert "timed_out" in returned(model.requests[1])[0]
        assert "check before repeating" in returned(model.requests[1])[0]


async def test_a_preview_that_breaks_is_no_end(opened: Open) -> None:
    async def broken(ctx: ToolContext) -> str:
        raise ZeroDivisionError("by zero")

    @tool(effect="irreversible", preview=broken)
    async def act() -> str:
        """Act."""
        return "acted"

    async with opened(call("act"), "ok", tools=(act,)) as (hands, model):
        async for event in hands.run("Go"):
            if isinstance(event, TaskWaiting):
                (asked,) = await hands.storage.approvals()
                assert "no preview" in asked.preview
                await hands.decide(asked.id, allow=True)
        assert returned(model.requests[1]) == ["acted"]


@pytest.mark.parametrize("gone", [True, False])
async def test_an_interrupted_effect_stays_unknown_whatever_became_of_its_tool(opened: Open, gone: bool) -> None:
    async def broken(ctx: ToolContext, key: str) -> ToolResult | None:
        raise ZeroDivisionError("by zero")

    @tool(effect="irreversible", reconcile=broken)
    async def act() -> str:
        """Act for ever."""
        await asyncio.Event().wait()
        return ""

    async with opened(call("act"), tools=(act,), config=RULE_ALLOW) as (hands, _):
        record = await hands.submit(Task(prompt="Go"))
        await state_of(hands, record.id, b"tool.started")
    async with opened("ok", tools=() if gone else (act,), config=RULE_ALLOW) as (hands, model):
        await hands.resume(record.id)
        assert (await end_of(hands, record.id)).text == "ok"
        assert "outcome_unknown" in returned(model.requests[0])[0]


# --- consent --------------------------------------------------------------------------------------------------------


def refined(arguments: Arguments) -> Effect:
    """A dry run only looks."""
    return "read" if arguments["dry"] else "irreversible"


async def test_guards_judge_the_arguments_the_tool_gets(opened: Open) -> None:
    ran: list[bool] = []

    @tool(effect_of=refined)
    async def act(dry: bool = False) -> str:
        """Act, or only look."""
        ran.append(dry)
        return "acted"

    turn = calls(ScriptedCall("act", {"dry": "false"}), ScriptedCall("act"), ScriptedCall("act", {"dry": "true"}))
    async with opened(turn, "ok", tools=(act,)) as (hands, model):
        await hands.ask("Go")
        assert ran == [True]
        assert ["nobody is there" in each for each in returned(model.requests[1])] == [True, True, False]


async def test_fs12_a_protected_path_is_found_wherever_it_stands(opened: Open) -> None:
    ran: list[object] = []

    @tool(effect="compensable")
    async def many(paths: list[str] | None = None, edits: list[dict[str, str]] | None = None) -> str:
        """Write many files."""
        ran.append((paths, edits))
        return "written"

    turn = calls(
        ScriptedCall("many", {"paths": ["a", ".git/hooks/x"]}),
        ScriptedCall("many", {"edits": [{"path": ".env", "text": "x"}]}),
        ScriptedCall("many", {"paths": ["a"], "edits": [{"path": "b", "text": ".env"}]}),
    )
    async with opened(turn, "ok", tools=(many,)) as (hands, model):
        await events_of(hands, "Go", consent="workspace")
        assert len(ran) == 1
        assert ["protected" in each for each in returned(model.requests[1])] == [True, True, False]


@pytest.mark.parametrize("answer", [None, True, "allow"])
async def test_a_guard_that_gives_no_verdict_denies(opened: Open, answer: object) -> None:
    async def vague(*_: object) -> object:
        return answer

    async with opened(call("glob", pattern="*"), "ok") as (hands, model):
        hands.kernel.registries.guards.add("test", ("vague", vague))  # type: ignore[arg-type]
        await hands.ask("Go")
        assert "denied" in returned(model.requests[1])[0]


async def test_a_child_may_no_more_than_its_parent(opened: Open, workspace: Path) -> None:
    @tool(effect="read")
    async def delegate(ctx: ToolContext) -> str:
        """Have another task do it."""
        child = await ctx.submit(Task(prompt="child", consent="workspace", budget_micro_usd=10**9))
        return str((await ctx.wait(f"child:{child.id}"))["text"])

    def answer(request: Request) -> Turn:
        if request.messages[-1].role == "tool":
            return Turn(text="ended")
        if request.messages[0].text.startswith("child"):
            return call("write_file", path="a", content="x")
        return call("delegate")

    async with opened(*(answer,) * 4, tools=(delegate,)) as (hands, _):
        await events_of(hands, "top", consent="deny", budget_usd=1.0)
        child = next(task for task in await hands.storage.tasks() if task.task.parent)
        assert (child.task.consent, child.task.budget_micro_usd) == ("deny", 1_000_000)
    assert not (workspace / "a").exists()


async def test_an_effect_that_cannot_be_told_does_not_happen(opened: Open) -> None:
    @tool(effect_of=lambda arguments: arguments["missing"])
    async def act() -> str:
        """Act."""
        return "acted"

    async with opened(call("act"), "ok", tools=(act,), config=RULE_ALLOW) as (hands, model):
        assert await hands.ask("Go") == "ok"
        assert "tool_crashed" in returned(model.requests[1])[0]


@pytest.mark.parametrize("by_name", [True, False])
async def test_a_child_cannot_line_up_behind_its_parent(opened: Open, by_name: bool) -> None:
    @tool(effect="read")
    async def delegate(ctx: ToolContext) -> str:
        """Have another task of this session do it, and wait for it."""
        child = await ctx.submit(Task(prompt="child", session="s1" if by_name else ctx.session))
        return str(await ctx.wait(f"child:{child.id}"))

    async with opened(call("delegate"), "ok", tools=(delegate,)) as (hands, model):
        assert await hands.ask("Go", session="s1") == "ok"
        assert "same_session" in returned(model.requests[1])[0]


# --- money ----------------------------------------------------------------------------------------------------------


async def test_bu01_a_tools_model_call_costs_what_that_model_costs(opened: Open) -> None:
    dear = ModelInfo(name="dear", output_tokens=1000, input_price=1_000_000, output_price=10_000_000)

    @tool(effect="read")
    async def consult(ctx: ToolContext) -> str:
        """Ask a dear model."""
        request = Request(model="dear", system="", messages=(), max_output_tokens=1000)
        async for _ in ctx.models.get("dear").stream(request):
            pass
        return "consulted"

    usage = Usage(input=1000, output=1000)
    async with opened(call("consult"), "ok", tools=(consult,)) as (hands, _):
        other = Scripted(Turn(text="hm", usage=usage), name="dear", model=dear)
        hands.kernel.registries.providers.add("test", ("dear", other))
        end = (await events_of(hands, "Go"))[-1]
        assert isinstance(end, RunFinished)
        assert end.micro_usd == 11_000


async def test_bu01_the_worst_case_counts_the_dearest_price_of_the_prompt(opened: Open) -> None:
    cached = ModelInfo(
        name="cached", output_tokens=1, input_price=1_000_000, output_price=0, cache_write_price=2_000_000
    )
    usage = Usage(input=10_000, cache_write=10_000)
    async with opened() as (hands, _):
        model = Scripted(Turn(text="ok", usage=usage), name="cached", model=cached)
        hands.kernel.registries.providers.add("test", ("cached", model))
        prompt = "x" * 30_000
        end = (await events_of(hands, prompt, model="cached/x", budget_usd=0.019))[-1]
        assert isinstance(end, RunFinished)
        assert end.reason == "budget"


# --- answers and words ----------------------------------------------------------------------------------------------


async def test_an_empty_refusal_is_a_refusal(opened: Open) -> None:
    async with opened(Turn(stop="refusal"), "never") as (hands, model):
        end = (await events_of(hands, "Go"))[-1]
        assert isinstance(end, RunFinished)
        assert "refused" in end.error
        assert len(model.requests) == 1


@pytest.mark.parametrize("words", ["", "  ", "\ud800"])
async def test_empty_words_are_refused(opened: Open, words: str) -> None:
    async with opened("ok") as (hands, _):
        await hands.ask("Go", session="s1")
        with pytest.raises(BadRequest):
            await hands.speak("s1", words)


async def test_an_error_of_the_callers_keeps_its_cause(opened: Open) -> None:
    with pytest.raises(ValueError, match="theirs") as caught:
        async with opened():
            raise ValueError("theirs") from KeyError("why")
    assert isinstance(caught.value.__cause__, KeyError)


async def test_what_a_stubborn_effect_did_is_recorded_before_its_run_stops(opened: Open) -> None:
    @tool(effect="irreversible")
    async def stubborn() -> str:
        """Finish, whatever happens."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "done all the same"

    async with opened(call("stubborn"), tools=(stubborn,), config=RULE_ALLOW) as (hands, _):
        record = await hands.submit(Task(prompt="Go"))
        await state_of(hands, record.id, b"tool.started")
        await hands.cancel(record.id)
        assert (await end_of(hands, record.id)).state == "cancelled"
        assert [step.status for step in await hands.storage.steps(record.id) if step.kind == "tool"] == ["done"]


async def test_what_a_dead_program_left_in_a_session_goes_on_before_the_next_request(opened: Open) -> None:
    first = Hanging()
    async with opened() as (hands, _):
        hands.kernel.registries.providers.add("test", ("hanging", first))
        record = await hands.submit(Task(prompt="first", session="s1", model="hanging/x"))
        await first.asked.wait()
    async with opened("Second.") as (hands, _):
        hands.kernel.registries.providers.add("test", ("hanging", Hanging("First.")))
        assert await hands.ask("second", session="s1") == "Second."
        assert (await hands.storage.task(record.id)).text == "First."


async def test_pr09_a_call_id_that_comes_again_in_a_later_turn_is_made_another(opened: Open) -> None:
    again = calls(ScriptedCall("glob", {"pattern": "*"}, "same"))
    async with opened(again, again, "Done.") as (hands, model):
        await hands.ask("Go")
        ids = [call.id for message in model.requests[2].messages for call in message.tool_calls]
        answered = [
            part.call_id for m in model.requests[2].messages for part in m.parts if isinstance(part, ToolReturn)
        ]
    assert ids[0] == "same"
    assert len(set(ids)) == 2
    assert answered == ids


async def test_a_cancelled_effect_is_unknown_and_its_tool_is_told(opened: Open) -> None:
    heard: list[str] = []
    listening: list[asyncio.Task[None]] = []

    async def hear(ctx: ToolContext) -> None:
        heard.append(await ctx.abort.wait())

    @tool(effect="irreversible")
    async def launch(ctx: ToolContext) -> str:
        """Launch, and listen for the abort."""
        try:
            await asyncio.Event().wait()
        finally:
            listening.append(asyncio.create_task(hear(ctx)))
        return ""

    async with opened(call("launch"), "Next.", tools=(launch,), config=RULE_ALLOW) as (hands, model):
        record = await hands.submit(Task(prompt="Go", session="s1"))
        await state_of(hands, record.id, b"tool.started")
        await hands.cancel(record.id)
        assert (await end_of(hands, record.id)).state == "cancelled"
        (step,) = [step for step in await hands.storage.steps(record.id) if step.index == 1]
        assert step.status == "unknown"
        await hands.ask("And now?", session="s1")
        assert "outcome_unknown" in str(model.requests[1].messages)
        await asyncio.gather(*listening)
    assert heard == ["cancelled"]


async def test_a_cancelled_answer_costs_what_came_of_it_and_not_the_worst_case(home: Path, workspace: Path) -> None:
    dear = ModelInfo(name="dear", output_tokens=30_000, input_price=1_000_000, output_price=10_000_000)

    class Halting(Scripted):
        """Says a word and then nothing."""

        async def stream(self, request: Request) -> AsyncIterator[Delta]:
            """One word."""
            yield TextPiece("word")
            await asyncio.Event().wait()

    async with asyncio.timeout(20), autohands.open(home, workspace) as hands:
        hands.kernel.registries.providers.add("test", ("halting", Halting(name="halting", model=dear)))
        record = await hands.submit(Task(prompt="Go", model="halting/x"))
        await state_of(hands, record.id, b"text.delta")
        await hands.cancel(record.id)
        await end_of(hands, record.id)
        assert 0 < await hands.storage.spent(record.id) < 20_000
