"""Faults of the catalogue against Ollama's protocol: the same reply, or one typed error, never anything else."""

import asyncio

import pytest
from msgspec import structs

from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.messages import Message, Reply, ToolReturn, user
from autohands.protocols.provider import LLMProvider, Retrying
from autohands.runtime.retry import Retry, RetryPolicy
from autohands.testing.chaos import TURN_FAULTS, WIRE_FAULTS
from autohands.testing.script import ScriptedCall, Turn, say
from autohands.testing.vendors import FakeVendors, Seen
from extensions.model_services import answer, request
from extensions.provider_local.local_services import local

pytestmark = pytest.mark.slow
ANSWER = Turn(
    text="Grüße 🙂, I look.",
    calls=(ScriptedCall("read_file", {"path": "ä.txt"}), ScriptedCall("glob", {"path": "."})),
)
NOTHING_CHANGES = (
    *("every-byte-alone", "every-three-bytes", "all-at-once", "crlf", "cr", "crlf-in-bytes", "byte-order-mark"),
    *("no-space", "trickle", "wrong-length"),
)
PASSING = (
    *("reset-at-once", "close-at-once", "headers-then-close", "half-an-event-then-close", "half-an-event-then-reset"),
    *("events-then-reset", "events-then-close", "events-then-end", "events-then-garbage", "midway-reset"),
    *("midway-close", "missing-last-event", "late-overload", "early-overload", "late-refusal", "not-gzip"),
    *("200-error", "408", "429", "429-seconds", "429-date", "429-zero", "429-negative", "429-day", "429-garbage"),
    *("500", "502-page", "503", "529", "comments-for-ever", "events-then-comments-for-ever", "pings-for-ever"),
    *("comments-between", "unknown-events"),
)
FINAL = {
    "huge-event": "broken",
    "not-http": "broken",
    "200-page": "broken",
    "302": "invalid",
    "400": "invalid",
    "400-overflow": "overflow",
    "401": "auth",
    "403": "auth",
    "404": "invalid",
    "429-spend": "spend",
}
SILENT = (
    *("accept-then-silence", "headers-then-silence", "one-event-then-silence", "events-then-silence"),
    *("midway-silence", "empty-deltas-for-ever", "missing-last-event-open"),
)
IMMEDIATE = RetryPolicy(first_wait_seconds=0.01, longest_wait_seconds=0.01)


def test_every_fault_of_the_wire_is_tried() -> None:
    assert {*NOTHING_CHANGES, *PASSING, *FINAL, *SILENT} == set(WIRE_FAULTS)


async def whole(asked: LLMProvider) -> Reply:
    return (await answer(asked, request("chat")))[1]


def chats(vendors: FakeVendors) -> list[Seen]:
    return [seen for seen in vendors.requests if seen.api == "ollama"]


@pytest.mark.parametrize("fault", NOTHING_CHANGES)
async def test_pr03_other_cuts_of_lines_give_the_same_reply(fault: str) -> None:
    async with local(structs.replace(ANSWER, faults=(fault,)), time_scale=0.0001) as (asked, vendors):
        reply = await whole(asked)
    assert chats(vendors)[0].fault == fault
    assert reply.message.text == ANSWER.text
    assert [call.arguments for call in reply.tool_calls] == [{"path": "ä.txt"}, {"path": "."}]
    assert reply.stop == "tool_calls"


@pytest.mark.parametrize("fault", PASSING)
async def test_pr05_passing_faults_of_ollama_are_typed_and_another_attempt_succeeds(fault: str) -> None:
    async with local(structs.replace(ANSWER, faults=(fault, fault))) as (asked, vendors), asyncio.timeout(20):
        with pytest.raises(RetryableError):
            await whole(asked)
        try:
            deltas, reply = await answer(Retry(asked, IMMEDIATE), request("chat"))
        except RetryableError:  # part of the answer was told already: PR01 forbids to tell it again
            reply = await whole(asked)
        else:
            assert [type(delta) for delta in deltas].count(Retrying) == 1
    assert reply.message.text == ANSWER.text
    assert [seen.fault for seen in chats(vendors)] == [fault, fault, None]
    assert vendors.problems == []


@pytest.mark.parametrize("fault", FINAL)
async def test_pr05_final_faults_of_ollama_are_not_tried_again(fault: str) -> None:
    async with local(structs.replace(ANSWER, faults=(fault,))) as (asked, vendors), asyncio.timeout(20):
        with pytest.raises(ProviderError) as caught:
            await answer(Retry(asked, IMMEDIATE), request("chat"))
    assert caught.value.kind == FINAL[fault]
    assert caught.value.hint
    assert len(chats(vendors)) == 1


async def test_pr01_pr02_silence_of_ollama_ends_at_a_deadline() -> None:
    async with asyncio.timeout(40), asyncio.TaskGroup() as side_by_side:
        for fault in SILENT:
            side_by_side.create_task(outlive(fault), name=fault)


async def outlive(fault: str) -> None:
    script = structs.replace(ANSWER, faults=(fault,))
    async with local(script, first_byte_seconds=1.5, idle_seconds=1.2) as (asked, vendors):
        with pytest.raises(RetryableError):
            await whole(asked)
        assert (await whole(asked)).message.text == ANSWER.text, fault
    first, second = chats(vendors)
    assert first.connection != second.connection


UNREADABLE = (
    *("invalid-arguments", "truncated-arguments", "truncated-arguments-length", "list-arguments", "null-arguments"),
    *("double-encoded-arguments", "trailing-comma", "nan-argument", "surrogate-argument", "empty-arguments-length"),
    *("malformed-tool-name", "nameless-tool"),
)


@pytest.mark.parametrize("fault", sorted(set(TURN_FAULTS) - {"huge-arguments"}))
async def test_pr08_pr09_pr12_whatever_the_model_said_the_conversation_goes_on(fault: str) -> None:
    async with local(structs.replace(ANSWER, faults=(fault,)), say("On.")) as (asked, vendors):
        reply = await whole(asked)
        assert len({call.id for call in reply.tool_calls}) == len(reply.tool_calls)
        if fault in UNREADABLE:
            assert all(call.invalid and call.arguments == {} for call in reply.tool_calls), reply
        results = tuple(ToolReturn(call.id, call.invalid or "done") for call in reply.tool_calls)
        after = (reply.message, Message("tool", results)) if results else (user("Go on."),)
        assert (await answer(asked, request("chat", (user("Begin."), *after))))[1].message.text in ("On.", ANSWER.text)
    assert vendors.problems == []


async def test_pr08_ten_megabytes_of_arguments_of_ollamas_do_not_run() -> None:
    async with local(structs.replace(ANSWER, faults=("huge-arguments",))) as (asked, _):
        with pytest.raises(ProviderError, match="a line of more than"):
            await whole(asked)


async def test_pr09_a_call_in_the_text_is_one_where_its_tool_was_offered() -> None:
    async with local(structs.replace(ANSWER, faults=("call-in-text",))) as (asked, _):
        (call,) = (await whole(asked)).tool_calls
    assert (call.name, call.arguments) == ("read_file", {"path": "notes.txt"})
