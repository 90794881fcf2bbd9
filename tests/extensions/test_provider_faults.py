"""Every fault of the catalogue, against every protocol: the same reply, or one typed error, never anything else."""

import asyncio

import pytest
from msgspec import structs

from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.messages import Message, Reply, Text, ToolCall, ToolReturn, user
from autohands.protocols.provider import LLMProvider, Retrying, TextPiece
from autohands.runtime.retry import Retry, RetryPolicy
from autohands.testing.chaos import FAULTS, TURN_FAULTS, WIRE_FAULTS
from autohands.testing.script import ScriptedCall, Turn, say
from extensions.model_services import APIS, PATIENT, QUICK, answer, request, service

pytestmark = pytest.mark.slow
ANSWER = Turn(
    text="Grüße 🙂, I look.",
    calls=(ScriptedCall("read_file", {"path": "ä.txt"}), ScriptedCall("glob", {"path": "."})),
)
NOTHING_CHANGES = (
    *("every-byte-alone", "every-three-bytes", "all-at-once", "crlf", "cr", "crlf-in-bytes", "byte-order-mark"),
    *("no-space", "comments-between", "unknown-events", "trickle", "missing-last-event"),
)
PASSING = {
    "reset-at-once": "connection was lost",
    "close-at-once": "connection was lost",
    "headers-then-close": "",
    "half-an-event-then-close": "",
    "half-an-event-then-reset": "connection was lost",
    "events-then-reset": "connection was lost",
    "events-then-close": "",
    "events-then-end": "ended early",
    "events-then-garbage": "cannot be read",
    "midway-reset": "connection was lost",
    "midway-close": "",
    "late-overload": "Overloaded",
    "early-overload": "Overloaded",
    "not-gzip": "connection was lost",
    "200-error": "Overloaded",
    "408": "timed out",
    "429": "Rate limit",
    "429-seconds": "Rate limit",
    "429-date": "Rate limit",
    "429-zero": "Rate limit",
    "429-negative": "Rate limit",
    "429-day": "Rate limit",
    "429-garbage": "Rate limit",
    "500": "The server had an error",
    "502-page": "a web page instead of an answer: 502 Bad Gateway",
    "503": "overloaded",
    "529": "Overloaded",
}
FINAL = {
    "late-refusal": "refused",
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
SILENT = {
    "accept-then-silence": "no answer in time",
    "headers-then-silence": "no answer within 1.5 s",
    "one-event-then-silence": "nothing came for 1.2 s",
    "events-then-silence": "nothing came for 1.2 s",
    "midway-silence": "nothing came for 1.2 s",
    "comments-for-ever": "no answer within 1.5 s",
    "events-then-comments-for-ever": "nothing came for 1.2 s",
    "pings-for-ever": "nothing came for 1.2 s",
    "empty-deltas-for-ever": "nothing came for 1.2 s",
}
ELSEWHERE = {"missing-last-event-open", "wrong-length"}

IMMEDIATE = RetryPolicy(first_wait_seconds=0.01, longest_wait_seconds=0.01)


def test_every_fault_of_the_wire_has_its_answer() -> None:
    told = {*NOTHING_CHANGES, *PASSING, *FINAL, *SILENT, *ELSEWHERE}
    assert told == set(WIRE_FAULTS)
    assert len(FAULTS) >= 40


async def whole(asked: LLMProvider, api: str) -> Reply:
    return (await answer(asked, request(api)))[1]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", NOTHING_CHANGES)
async def test_pr03_other_cuts_and_ends_give_the_same_reply(api: str, fault: str) -> None:
    async with service(api, structs.replace(ANSWER, faults=(fault,)), time_scale=0.0001) as (asked, vendors):
        if fault == "missing-last-event" and api == "responses":
            with pytest.raises(RetryableError, match="ended early"):
                await whole(asked, api)  # the last event is the only one that ends this protocol's answer
            return
        reply = await whole(asked, api)
    assert vendors.requests[0].fault == fault
    assert reply.message.text == ANSWER.text
    assert [call.arguments for call in reply.tool_calls] == [{"path": "ä.txt"}, {"path": "."}]
    assert reply.stop == "tool_calls"


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", PASSING)
async def test_pr05_passing_faults_are_typed_and_the_next_attempt_succeeds(api: str, fault: str) -> None:
    async with service(api, structs.replace(ANSWER, faults=(fault, fault))) as (asked, vendors), asyncio.timeout(20):
        with pytest.raises(RetryableError) as caught:
            await whole(asked, api)
        assert PASSING[fault] in caught.value.text
        assert (caught.value.retry_after_seconds or 0) > 0 or fault not in ("429-seconds", "429-day", "503")
        try:
            deltas, reply = await answer(Retry(asked, IMMEDIATE), request(api))
        except RetryableError:  # part of the answer was told already: PR01 forbids to tell it again
            assert any(word in fault for word in ("events", "late", "half", "midway"))
            reply = await whole(asked, api)
        else:
            assert [type(delta) for delta in deltas].count(Retrying) == 1
    assert reply.message.text == ANSWER.text
    assert [seen.fault for seen in vendors.requests] == [fault, fault, None]
    assert vendors.problems == []


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", FINAL)
async def test_pr05_final_faults_are_not_tried_again(api: str, fault: str) -> None:
    async with service(api, structs.replace(ANSWER, faults=(fault,))) as (asked, vendors), asyncio.timeout(20):
        with pytest.raises(ProviderError) as caught:
            await answer(Retry(asked, IMMEDIATE), request(api))
    assert caught.value.kind == FINAL[fault]
    assert caught.value.hint
    assert len(vendors.requests) == 1


@pytest.mark.parametrize("api", APIS)
async def test_pr01_pr02_silence_and_mere_signs_of_life_end_at_a_deadline(api: str) -> None:
    async with asyncio.timeout(50), asyncio.TaskGroup() as side_by_side:
        for fault in SILENT:
            side_by_side.create_task(outlive(fault, api), name=fault)


async def outlive(fault: str, api: str) -> None:
    async with service(api, structs.replace(ANSWER, faults=(fault,)), times=QUICK) as (asked, vendors):
        with pytest.raises(RetryableError) as caught:
            await whole(asked, api)
        assert SILENT[fault] in caught.value.text, fault
        assert (await whole(asked, api)).message.text == ANSWER.text, fault
    first, second = vendors.requests
    assert first.connection != second.connection


@pytest.mark.parametrize("api", APIS)
async def test_pr02_a_lively_answer_without_end_ends_at_the_total_deadline(api: str) -> None:
    endless = structs.replace(say("x " * 1_000), pause_seconds=0.01)
    times = structs.replace(PATIENT, total_seconds=1.5)
    async with service(api, endless, times=times) as (asked, _), asyncio.timeout(20):
        with pytest.raises(RetryableError, match="longer than"):
            await whole(asked, api)


@pytest.mark.parametrize("api", ["chat", "messages"])
async def test_pr03_a_whole_answer_does_not_wait_for_a_missing_last_word(api: str) -> None:
    script = structs.replace(ANSWER, faults=("missing-last-event-open",))
    times = structs.replace(PATIENT, idle_seconds=0.5)
    async with service(api, script, times=times) as (asked, _), asyncio.timeout(20):
        assert (await whole(asked, api)).message.text == ANSWER.text


@pytest.mark.slow
async def test_pr03_nor_does_it_wait_for_the_idle_deadline() -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as side_by_side:
        for api in ("chat", "messages"):
            side_by_side.create_task(finish_without_last_word(api))


async def finish_without_last_word(api: str) -> None:
    async with service(api, structs.replace(ANSWER, faults=("missing-last-event-open",))) as (asked, _):
        assert (await whole(asked, api)).message.text == ANSWER.text


@pytest.mark.parametrize("api", APIS)
async def test_pr03_a_length_that_is_a_lie_changes_nothing(api: str) -> None:
    async with service(api, structs.replace(ANSWER, faults=("wrong-length",))) as (asked, _), asyncio.timeout(20):
        assert (await whole(asked, api)).message.text == ANSWER.text


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", ["midway-reset", "midway-close", "midway-silence"])
async def test_pr01_an_answer_that_broke_off_half_told_is_not_told_again(api: str, fault: str) -> None:
    text = "one two three four five six"
    told: list[str] = []

    async def listen(asked: LLMProvider) -> None:
        async for delta in Retry(asked, IMMEDIATE).stream(request(api)):
            assert isinstance(delta, TextPiece)
            told.append(delta.text)

    async with service(api, structs.replace(say(text), faults=(fault,)), times=QUICK) as (asked, vendors):
        with pytest.raises(RetryableError):
            await listen(asked)
    assert told
    assert text.startswith("".join(told))
    assert len(vendors.requests) == 1


UNREADABLE = (
    *("invalid-arguments", "truncated-arguments", "truncated-arguments-length", "list-arguments", "null-arguments"),
    *("double-encoded-arguments", "trailing-comma", "nan-argument", "surrogate-argument", "empty-arguments-length"),
    *("malformed-tool-name", "nameless-tool"),
)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", UNREADABLE)
async def test_pr08_what_cannot_be_read_does_not_run_and_can_be_sent_back(api: str, fault: str) -> None:
    async with service(api, structs.replace(ANSWER, faults=(fault,)), say("Mended.")) as (asked, vendors):
        reply = await whole(asked, api)
        assert all(call.arguments == {} for call in reply.tool_calls)
        assert all(call.invalid for call in reply.tool_calls)
        assert (await _go_on(asked, api, reply)).message.text == "Mended."
    assert vendors.problems == []


@pytest.mark.parametrize("api", APIS)
async def test_pr08_ten_megabytes_of_arguments_do_not_run(api: str) -> None:
    async with service(api, structs.replace(ANSWER, faults=("huge-arguments",)), say("Less.")) as (asked, vendors):
        if api == "responses":  # this protocol repeats the whole item in one event, which is larger than any may be
            with pytest.raises(ProviderError, match="more than"):
                await whole(asked, api)
            return
        reply = await whole(asked, api)
        assert all("larger than" in (call.invalid or "") for call in reply.tool_calls)
        assert (await _go_on(asked, api, reply)).message.text == "Less."
    assert vendors.problems == []


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("fault", "count"),
    [
        *(("unknown-tool", 1), ("wrong-case-tool", 1), ("duplicate-call", 1), ("missing-id", 1), ("long-id", 1)),
        *(("many-calls", 200), ("call-in-text", 0), ("duplicate-id", 2)),
    ],
)
async def test_pr09_calls_are_kept_apart_and_can_be_sent_back(api: str, fault: str, count: int) -> None:
    async with service(api, structs.replace(ANSWER, faults=(fault,)), say("On.")) as (asked, vendors):
        reply = await whole(asked, api)
        assert len({call.id for call in reply.tool_calls}) == len(reply.tool_calls) == count
        assert [bool(call.invalid) for call in reply.tool_calls] == [False] * min(count, 1) + [
            fault == "duplicate-id"
        ] * (count - 1)
        assert (await _go_on(asked, api, reply)).message.text == "On."
    assert vendors.problems == []


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("fault", "text", "stop"),
    [
        ("empty-answer", "", "end"),
        ("blank-answer", " \n\t ", "end"),
        ("only-thinking", "", "end"),
        ("refused", "I cannot help with that.", "refusal"),
        ("cut-short", "The answer is", "length"),
        ("nul-in-text", "beforeafter", "end"),
    ],
)
async def test_pr12_strange_answers_are_typed_and_the_conversation_goes_on(
    api: str, fault: str, text: str, stop: str
) -> None:
    async with service(api, structs.replace(ANSWER, faults=(fault,)), say("On.")) as (asked, vendors):
        reply = await whole(asked, api)
        assert (reply.message.text, reply.stop) == (text, stop)
        said = (reply.message,) if reply.message.parts else ()
        deltas, after = await answer(asked, request(api, (user("Begin."), *said, user("Go on."))))
        assert after.message.text in ("On.", ANSWER.text)
        assert deltas
    assert vendors.problems == []


@pytest.mark.parametrize("api", APIS)
async def test_pr12_absurd_usage_is_brought_to_reason(api: str) -> None:
    async with service(api, structs.replace(ANSWER, faults=("absurd-usage",))) as (asked, _):
        usage = (await whole(asked, api)).usage
    assert usage.input == 1_000_000_000
    assert usage.output >= 0


def test_all_faults_of_the_model_are_tried() -> None:
    tried = {
        *UNREADABLE,
        "huge-arguments",
        "unknown-tool",
        "wrong-case-tool",
        "duplicate-call",
        "missing-id",
        "long-id",
    }
    tried |= {"many-calls", "call-in-text", "duplicate-id", "empty-answer", "blank-answer", "only-thinking", "refused"}
    assert tried | {"cut-short", "nul-in-text", "absurd-usage"} == set(TURN_FAULTS)


async def test_pr12_a_million_tokens_of_text_are_cut_and_the_connection_is_dropped() -> None:
    async with service("messages", say(("word" * 10_000 + " ") * 250)) as (asked, _), asyncio.timeout(50):
        reply = await whole(asked, "messages")
    assert reply.stop == "length"
    assert 7_900_000 < len(reply.message.text) < 8_100_000


async def _go_on(asked: LLMProvider, api: str, reply: Reply) -> Reply:
    """The next reply, after each call was answered by its error."""
    results = tuple(ToolReturn(call.id, call.invalid or "done", failed=bool(call.invalid)) for call in reply.tool_calls)
    after = (Message("tool", results),) if results else (user("Go on."),)
    assert all(isinstance(part, Text | ToolCall) for part in reply.message.parts)
    return (await answer(asked, request(api, (user("Begin."), reply.message, *after))))[1]
