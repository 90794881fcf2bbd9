"""Money cannot run away: every cap stops a run before the call that would exceed it, and what was done is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import autohands
from autohands.protocols.changes import Signal
from autohands.protocols.errors import ProviderError
from autohands.protocols.events import Event, RunFinished
from autohands.protocols.messages import Usage
from autohands.protocols.provider import ModelInfo, Replied, Request
from autohands.protocols.task import Task
from autohands.sdk import Extension, Host, ToolContext, tool
from autohands.testing.script import ScriptedCall as Call
from autohands.testing.script import Turn, call, calls, say
from autohands.testing.scripted import Scriptable, Scripted

from .conftest import Open
from .processes import autohands as command
from .processes import environment, lines, serving

CENT = 10_000
# A call costs a cent at the most: 10,000 tokens written, nothing for what is read.
DEAR = ModelInfo(name="x", context_tokens=100_000, output_tokens=10_000, input_price=0, output_price=1_000_000)
FULL = Usage(input=10, output=10_000)


async def end_of(hands: autohands.Hands, prompt: str = "Go", **options: Any) -> RunFinished:
    """Run a prompt to its end."""
    last: Event | None = None
    async for event in hands.run(prompt, **options):
        last = event
    assert isinstance(last, RunFinished)
    return last


def dear(hands: autohands.Hands, *replies: Scriptable, model: ModelInfo = DEAR) -> Scripted:
    """A model that costs something, as `dear/x`."""
    scripted = Scripted(*replies, name="dear", model=model)
    hands.kernel.registries.providers.add("test", ("dear", scripted))
    return scripted


def look(says: str = "") -> Turn:
    """A reply that asks for a tool, at full price."""
    return Turn(text=says, calls=(Call("glob", {"pattern": "*"}),), usage=FULL)


@pytest.mark.parametrize("cap", ["run", "day", "month", "session", "agent"])
async def test_bu01_each_cap_of_money_stops_before_the_call_that_would_exceed_it(opened: Open, cap: str) -> None:
    budget = {"run": "none", "day": "none", cap: 0.025}
    async with opened(config={"budget": budget}) as (hands, _):
        model = dear(hands, look("First."), look("Second."), say("never"))
        end = await end_of(hands, model="dear/x", session="s1")
        assert (end.reason, end.text) == ("budget", "Second."), "what was said is kept"
        assert len(model.requests) == 2
        assert end.micro_usd == await hands.storage.spent() == 2 * CENT
        assert "autohands cost" in end.error


async def test_bu01_a_session_and_an_agent_have_caps_of_their_own(opened: Open) -> None:
    budget = {"session": 0.015}
    async with opened(config={"budget": budget}) as (hands, _):
        dear(hands, *(Turn(text="ok", usage=FULL),) * 3)
        reasons = [(await end_of(hands, model="dear/x", session=name)).reason for name in ("a", "a", "b")]
        assert reasons == ["done", "budget", "done"]


@pytest.mark.parametrize(
    ("limit", "reason", "asked"),
    [
        ({"model_calls": 2}, "call_limit", 2),
        ({"tool_calls": 1}, "call_limit", 2),
        ({"tokens": 25_000}, "token_limit", 2),
        ({"sent_bytes": 1}, "byte_limit", 0),
        ({"turns": 2}, "turn_limit", 2),
        ({"tool_calls": 2, "model_calls": 3, "tokens": 100_000, "sent_bytes": 10_000_000}, "done", 3),
    ],
)
async def test_bu01_each_other_limit_stops_before_what_would_exceed_it(
    opened: Open, limit: dict[str, int], reason: str, asked: int
) -> None:
    async with opened(config={"limits": limit}) as (hands, _):
        model = dear(hands, look("First."), look("Second."), say("Done."))
        end = await end_of(hands, model="dear/x")
        assert (end.reason, len(model.requests)) == (reason, asked)
        assert end.text == ["", "", "Second.", "Done."][asked]
        if reason != "done":
            assert next(iter(limit)) in end.error


async def test_bu01_calls_beyond_the_limit_are_told_to_the_model_and_not_made(opened: Open) -> None:
    made: list[int] = []

    @tool(effect="read")
    async def count(number: int) -> str:
        """Count."""
        made.append(number)
        return "counted"

    reply = calls(*(Call("count", {"number": number}) for number in range(5)))
    async with opened(reply, say("never"), tools=(count,), config={"limits": {"tool_calls": 3}}) as (hands, model):
        end = await end_of(hands)
        assert (end.reason, len(made), len(model.requests)) == ("call_limit", 3, 1)


async def test_bu01_the_time_a_run_may_work_does_not_begin_anew_with_each_activation(opened: Open) -> None:
    @tool(effect="read")
    async def work(ctx: ToolContext) -> str:
        """Work for a while, then wait to be told."""
        if "go" not in ctx.data:
            ctx.data["go"] = True
            await asyncio.sleep(0.8)
        await ctx.wait("go")
        return "went"

    @tool(effect="read")
    async def long() -> str:
        """Work for ever."""
        await asyncio.sleep(30)
        return "never"

    replies = (call("work"), call("long"), say("never"))
    async with opened(*replies, tools=(work, long), config={"limits": {"time_seconds": 1.2}}) as (hands, _):
        record = await hands.submit(Task(prompt="Go"))
        async for data in hands.follow(record.id):
            if b'"task.waiting"' in data:
                break
        await asyncio.sleep(1.0)  # what it waits for others does not count
        before = await hands.storage.used(record.id)
        assert 0.7 < before.worked_seconds < 1.2
        await hands.storage.commit(Signal(task=record.id, topic="go", payload={}))
        events = [json.loads(data) async for data in hands.follow(record.id)]
        assert events[-1]["reason"] == "time_limit"
        resumed = next(event for event in events if event["type"] == "run.resumed")
        assert events[-1]["at"] - resumed["at"] < 1000, "only what was left of the time"


# --- BU02 -----------------------------------------------------------------------------------------------------------


async def test_bu02_fifty_runs_race_for_the_last_cent(opened: Open, home: Path, workspace: Path) -> None:
    """Two programs on one state directory, 25 runs each, and money for ten calls."""
    config = {"budget": {"run": "none", "day": 0.105}, "model": "dear/x"}
    started = asyncio.Event()

    def full(request: Request) -> Turn:
        return Turn(text="ok", usage=FULL)

    async with opened(config=config) as (one, _), autohands.open(home, workspace, config) as two:
        models = [dear(hands, *(full,) * 25) for hands in (one, two)]

        async def race(hands: autohands.Hands, number: int) -> str:
            await started.wait()
            return (await end_of(hands, f"Run {number}")).reason

        runs = [asyncio.ensure_future(race(hands, number)) for number in range(25) for hands in (one, two)]
        started.set()
        reasons = await asyncio.gather(*runs)
        asked = sum(len(model.requests) for model in models)
        assert (reasons.count("done"), reasons.count("budget"), asked) == (10, 40, 10)
        assert await one.storage.spent() == 10 * CENT <= 105_000


async def test_bu02_a_service_that_uses_more_than_it_may_exceeds_a_cap_by_one_call_at_most(opened: Open) -> None:
    config = {"budget": {"run": "none", "day": 0.03}, "limits": {"runs": 1}}
    async with opened(config=config) as (hands, _):
        model = dear(hands, *(Turn(text="ok", usage=Usage(input=10, output=15_000)),) * 50)
        reasons = await asyncio.gather(*(end_of(hands, f"Run {n}", model="dear/x") for n in range(50)))
        assert [end.reason for end in reasons].count("done") == len(model.requests) == 2
        assert await hands.storage.spent() <= 4 * CENT


# --- BU03 -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("place", ["run.replied", "purse.reserved", "ledger.settling"])
def test_bu03_a_reservation_stands_after_a_kill_between_answer_and_settlement(
    place: str, home: Path, workspace: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, [Turn(text="Hello.")]) as service:
        env = environment(home, service)
        arguments = ("run", "Hi", "--session", "s1", "--model", "openai/fake", "--json")
        killed = command(*arguments, env=env | {"AUTOHANDS_FAILPOINT": place}, cwd=workspace)
        assert killed.returncode == -9
        rows = json.loads(command("cost", "--json", env=env, cwd=workspace).stdout)["items"]
        assert [(row["spent_usd"], row["calls"]) for row in rows] == [(0.0, 1)]
        reserved = rows[0]["reserved_usd"]
        assert reserved > 0
        task = lines(killed.stdout)[0]["task"]
        resumed = command("task", "resume", task, "--json", env=env, cwd=workspace)
        assert lines(resumed.stdout)[-1]["reason"] == "done", resumed.stderr
        (row,) = json.loads(command("cost", "--json", env=env, cwd=workspace).stdout)["items"]
        assert (row["reserved_usd"], row["calls"]) == (reserved, 2), "nothing was given back"
        assert row["spent_usd"] > 0


# --- BU04 -----------------------------------------------------------------------------------------------------------

PRICED = ModelInfo(name="x", context_tokens=100_000, output_tokens=1000, input_price=1_000_000, output_price=1_000_000)


@pytest.mark.parametrize(
    ("usage", "least", "most"),
    [
        (Usage(), 50, 10_000),  # none at all
        (Usage(input=-5, output=-10), 1000, 10_000),
        (Usage(input=10**15, output=1), 1000, 10_000),
        (Usage(input=1, output=10**12), 1000, 10_000),
        (Usage(input=10, output=10, cache_read=10**12), 1000, 10_000),
        (Usage(input=30, output=10), 40, 40),  # the plain case
        (Usage(input=30), 31, 100),
    ],
)
async def test_bu04_usage_that_is_missing_or_makes_no_sense_is_estimated_upward(
    opened: Open, usage: Usage, least: int, most: int
) -> None:
    async with opened() as (hands, _):
        dear(hands, Turn(text="An answer of a few words.", usage=usage), model=PRICED)
        end = await end_of(hands, model="dear/x")
        assert (end.reason, least <= end.micro_usd <= most) == ("done", True), end.micro_usd
        assert end.usage.input >= 0
        assert end.usage.output > 0


@pytest.mark.parametrize(
    ("price", "reason", "micro_usd"), [("refuse", "budget", 0), (40.0, "done", 1250), (0.0, "done", 0)]
)
async def test_bu04_an_unknown_price_counts_as_configured_or_is_refused(
    opened: Open, price: float | str, reason: str, micro_usd: int
) -> None:
    unknown = ModelInfo(name="x", context_tokens=100_000, output_tokens=1000)
    async with opened(config={"budget": {"unknown_price": price}}) as (hands, _):
        model = dear(hands, Turn(text="ok", usage=Usage(input=45, output=20)), model=unknown)
        end = await end_of(hands, model="dear/x")
        assert (end.reason, end.micro_usd, len(model.requests)) == (reason, micro_usd, int(reason == "done"))
        assert ("unknown_price" in end.error) == (price == "refuse")


# --- PR14, and calls outside of runs ----------------------------------------------------------------------------------


async def test_pr14_an_answer_that_comes_after_the_cancellation_is_dropped_and_its_cost_booked(opened: Open) -> None:
    asked, late = asyncio.Event(), asyncio.Event()

    class Late(Scripted):
        async def stream(self, request: Request) -> Any:
            asked.set()
            await late.wait()
            async for delta in super().stream(request):
                yield delta

    async with opened() as (hands, _):
        model = Late("too late", name="late", model=PRICED)
        hands.kernel.registries.providers.add("test", ("late", model))
        record = await hands.submit(Task(prompt="Go", model="late/x"))
        await asked.wait()
        reserved = await hands.storage.spent()
        await hands.cancel(record.id)
        events = [json.loads(data) async for data in hands.follow(record.id)]
        late.set()
        assert events[-1]["reason"] == "cancelled"
        assert 0 < events[-1]["micro_usd"] == await hands.storage.spent() < reserved
        assert [step for step in await hands.storage.steps(record.id) if step.kind == "model"] == []
        (cost,) = await hands.storage.costs("model", "2000-01-01")
        assert (cost.calls, cost.reserved) == (1, 0)


async def test_bu01_a_tool_that_is_called_directly_pays_too(opened: Open) -> None:
    @tool(effect="read")
    async def consult(ctx: ToolContext) -> str:
        """Ask a dear model."""
        async for delta in ctx.models.get("dear").stream(Request(model="x", system="", messages=())):
            if isinstance(delta, Replied):
                return delta.reply.message.text
        return ""

    async with opened(tools=(consult,), config={"budget": {"day": 0.015}}) as (hands, _):
        model = dear(hands, *(Turn(text="advice", usage=FULL),) * 2)
        assert (await hands.call_tool("consult", {})).text == "advice"
        refused = await hands.call_tool("consult", {})
        assert (refused.failed, "budget" in refused.text) == (True, True)
        assert (await hands.storage.spent(), len(model.requests)) == (CENT, 1)


async def test_bu01_an_extensions_own_model_call_pays_too(opened: Open) -> None:
    async with opened(config={"budget": {"day": 0.015}}) as (hands, _):
        dear(hands, *(Turn(text="advice", usage=FULL),) * 2)
        request = Request(model="x", system="", messages=())
        extension, hosts = Extension(name="adviser", version="1.0", summary="A test."), list[Host]()

        @extension.setup
        async def live(host: Host, config: Any) -> AsyncIterator[None]:
            hosts.append(host)
            yield

        await hands.kernel.start([(extension, None)])
        provider = hosts[0].models.get("dear")
        assert [delta async for delta in provider.stream(request)]
        with pytest.raises(ProviderError) as refused:
            assert [delta async for delta in provider.stream(request)]
        assert refused.value.kind == "budget"
        assert await hands.storage.spent() == CENT
