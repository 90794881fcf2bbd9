"""Every fault of the catalogue against Gemini: the same reply, or one typed error; and what Google's errors mean."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from msgspec import structs

from autohands.extensions.provider_gemini.provider import GeminiProvider
from autohands.extensions.provider_gemini.refusals import read_refusal, refuse
from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.messages import Message, Reply, ToolReturn, user
from autohands.protocols.provider import LLMProvider
from autohands.runtime.retry import Retry
from autohands.sdk.account import Account
from autohands.sdk.faults import Service
from autohands.sdk.http import Http
from autohands.testing.script import ScriptedCall, say
from extensions import test_provider_faults as catalogue
from extensions.model_services import PATIENT, QUICK, answer, no_blob
from extensions.provider_gemini.gemini_service import gemini, request

ANSWER = catalogue.ANSWER
SERVICE = Service("gemini", "GEMINI_API_KEY", "https://example.com")


async def whole(asked: LLMProvider) -> Reply:
    return (await answer(asked, request()))[1]


@pytest.mark.parametrize("fault", catalogue.NOTHING_CHANGES)
async def test_pr03_other_cuts_and_ends_give_the_same_reply(fault: str) -> None:
    async with gemini(structs.replace(ANSWER, faults=(fault,)), time_scale=0.0001) as (asked, vendors):
        if fault == "missing-last-event":
            with pytest.raises(RetryableError, match="ended early"):
                await whole(asked)  # the last event is the only one that ends this protocol's answer
            return
        reply = await whole(asked)
    assert vendors.requests[0].fault == fault
    assert reply.message.text == ANSWER.text
    assert [call.arguments for call in reply.tool_calls] == [{"path": "ä.txt"}, {"path": "."}]
    assert reply.stop == "tool_calls"


@pytest.mark.slow
@pytest.mark.parametrize("fault", catalogue.PASSING)
async def test_pr05_passing_faults_are_typed_and_the_next_attempt_succeeds(fault: str) -> None:
    async with gemini(structs.replace(ANSWER, faults=(fault,))) as (asked, vendors), asyncio.timeout(20):
        with pytest.raises(RetryableError) as caught:
            await whole(asked)
        assert catalogue.PASSING[fault] in caught.value.text
        assert (caught.value.retry_after_seconds or 0) > 0 or fault not in ("429-seconds", "429-day", "503")
        assert (await whole(asked)).message.text == ANSWER.text
    assert vendors.problems == []


@pytest.mark.parametrize("fault", catalogue.FINAL)
async def test_pr05_final_faults_are_not_tried_again(fault: str) -> None:
    async with gemini(structs.replace(ANSWER, faults=(fault,))) as (asked, vendors), asyncio.timeout(20):
        with pytest.raises(ProviderError) as caught:
            await answer(Retry(asked, catalogue.IMMEDIATE), request())
    assert caught.value.kind == catalogue.FINAL[fault]
    assert caught.value.hint
    assert len(vendors.requests) == 1


@pytest.mark.slow
async def test_pr01_pr02_silence_and_mere_signs_of_life_end_at_a_deadline() -> None:
    async with asyncio.timeout(50), asyncio.TaskGroup() as side_by_side:
        for fault in catalogue.SILENT:
            side_by_side.create_task(outlive(fault), name=fault)


async def outlive(fault: str) -> None:
    async with gemini(structs.replace(ANSWER, faults=(fault,)), times=QUICK) as (asked, vendors):
        with pytest.raises(RetryableError) as caught:
            await whole(asked)
        assert catalogue.SILENT[fault] in caught.value.text, fault
        assert (await whole(asked)).message.text == ANSWER.text, fault
    first, second = vendors.requests
    assert first.connection != second.connection


@pytest.mark.parametrize("fault", ["wrong-length"])
async def test_pr03_a_length_that_is_a_lie_changes_nothing(fault: str) -> None:
    async with gemini(structs.replace(ANSWER, faults=(fault,))) as (asked, _), asyncio.timeout(20):
        assert (await whole(asked)).message.text == ANSWER.text


@pytest.mark.parametrize("fault", catalogue.UNREADABLE)
async def test_pr08_what_cannot_be_read_does_not_run_and_can_be_sent_back(fault: str) -> None:
    async with gemini(structs.replace(ANSWER, faults=(fault,)), say("Mended.")) as (asked, vendors):
        reply = await whole(asked)
        assert all(call.arguments == {} and call.invalid for call in reply.tool_calls)
        assert reply.tool_calls or reply.stop == "length"
        assert (await go_on(asked, reply)).message.text == "Mended."
    assert vendors.problems == []


async def test_pr08_ten_megabytes_of_arguments_do_not_run() -> None:
    async with gemini(structs.replace(ANSWER, faults=("huge-arguments",))) as (asked, _):
        with pytest.raises(ProviderError, match="more than"):  # a call comes whole, in one event
            await whole(asked)


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        *(("unknown-tool", 1), ("wrong-case-tool", 1), ("duplicate-call", 1), ("missing-id", 1), ("long-id", 1)),
        *(("many-calls", 200), ("call-in-text", 0), ("duplicate-id", 2)),
    ],
)
async def test_pr09_calls_are_kept_apart_and_can_be_sent_back(fault: str, count: int) -> None:
    async with gemini(structs.replace(ANSWER, faults=(fault,)), say("On.")) as (asked, vendors):
        reply = await whole(asked)
        assert len({call.id for call in reply.tool_calls}) == len(reply.tool_calls) == count
        assert [bool(call.invalid) for call in reply.tool_calls] == [False] * min(count, 1) + [
            fault == "duplicate-id"
        ] * (count - 1)
        assert (await go_on(asked, reply)).message.text == "On."
    assert vendors.problems == []


async def test_pr09_calls_without_ids_are_told_apart_and_go_back_without() -> None:
    twins = structs.replace(ANSWER, calls=(ScriptedCall("glob", {}, ""), ScriptedCall("glob", {}, "")))
    async with gemini(twins, twins, say("On.")) as (asked, vendors):
        first = await whole(asked)
        second = await go_on(asked, first)
        assert len({call.id for call in (*first.tool_calls, *second.tool_calls)}) == 4
    assert vendors.problems == []
    sent = vendors.requests[1].body["contents"]
    assert ["id" in part.get("functionCall", {}) for part in sent[1]["parts"][-2:]] == [False, False]
    assert ["id" in part["functionResponse"] for part in sent[2]["parts"]] == [False, False]


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
async def test_pr12_strange_answers_are_typed_and_the_conversation_goes_on(fault: str, text: str, stop: str) -> None:
    async with gemini(structs.replace(ANSWER, faults=(fault,)), say("On.")) as (asked, vendors):
        reply = await whole(asked)
        assert (reply.message.text, reply.stop) == (text, stop)
        said = (reply.message,) if reply.message.parts else ()
        assert (await answer(asked, request((user("Begin."), *said, user("Go on.")))))[0]
    assert vendors.problems == []


async def test_pr12_absurd_usage_is_brought_to_reason() -> None:
    async with gemini(structs.replace(ANSWER, faults=("absurd-usage",))) as (asked, _):
        usage = (await whole(asked)).usage
    assert usage.input == 1_000_000_000
    assert usage.output >= 0


async def go_on(asked: LLMProvider, reply: Reply) -> Reply:
    """The next reply, after each call was answered, by its error where it has one."""
    results = tuple(ToolReturn(call.id, call.invalid or "done", failed=bool(call.invalid)) for call in reply.tool_calls)
    after = (Message("tool", results),) if results else (user("Go on."),)
    return (await answer(asked, request((user("Begin."), reply.message, *after))))[1]


PLEASE = "You exceeded your current quota, please check your plan and billing details."
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}


def status(code: int, name: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": name, "details": list(details)}}


def quota(*names: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": each} for each in names]}


MINUTE, DAY = (
    "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
    "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
)
REASON = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}


@pytest.mark.parametrize(
    ("body", "kind", "wait"),
    [
        (status(429, "RESOURCE_EXHAUSTED", PLEASE, quota(MINUTE), RETRY), None, 34.074824224),
        (status(429, "RESOURCE_EXHAUSTED", PLEASE, quota(MINUTE)), None, None),
        (status(429, "RESOURCE_EXHAUSTED", PLEASE, RETRY), None, 34.074824224),
        ([status(429, "RESOURCE_EXHAUSTED", PLEASE, RETRY)], None, 34.074824224),
        (status(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."), None, None),
        (status(429, "RESOURCE_EXHAUSTED", PLEASE, quota(MINUTE, DAY), RETRY), "spend", None),
        (status(429, "RESOURCE_EXHAUSTED", f"{PLEASE} limit: 0, model: gemini-3.1-pro", RETRY), "spend", None),
        (status(429, "RESOURCE_EXHAUSTED", PLEASE), "spend", None),
        (status(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), None, None),
        (status(503, "UNAVAILABLE", "The model is overloaded.", RETRY), None, 34.074824224),
        (status(500, "INTERNAL", "An internal error has occurred."), None, None),
        (status(504, "DEADLINE_EXCEEDED", "Deadline expired."), None, None),
        (status(403, "PERMISSION_DENIED", "Your project has been denied access."), "auth", None),
        (status(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers"), "auth", None),
        (status(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", REASON), "auth", None),
        (status(404, "NOT_FOUND", "models/x is not found for API version v1beta"), "invalid", None),
        (status(400, "INVALID_ARGUMENT", "Invalid value at 'contents[0].parts'"), "invalid", None),
        (status(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "invalid", None),
        (
            status(
                400,
                "INVALID_ARGUMENT",
                "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
            ),
            "overflow",
            None,
        ),
    ],
)
def test_pr05_pr10_googles_errors_in_the_common_words(body: Any, kind: str | None, wait: float | None) -> None:
    error = body[0]["error"] if isinstance(body, list) else body["error"]
    found = refuse(SERVICE, error["code"], {}, json.dumps(body).encode())
    if kind is None:
        assert isinstance(found, RetryableError)
        assert found.retry_after_seconds == wait
    else:
        assert isinstance(found, ProviderError)
        assert found.kind == kind
        assert found.hint
    assert found.text.startswith("gemini: ")


@pytest.mark.parametrize(
    "body", [b"", b"<html><title>502</title></html>", b"[]", b'{"error": "x"}', b'{"a": 1}', b"\xff"]
)
def test_pr05_what_is_no_error_of_googles_is_read_as_anybodys(body: bytes) -> None:
    assert isinstance(refuse(SERVICE, 502, {"Retry-After": "3"}, body), RetryableError)
    assert isinstance(refuse(SERVICE, 400, {}, body), ProviderError)
    assert read_refusal(None) is None


async def test_pr05_the_wait_that_the_service_asks_for_is_told() -> None:
    async def refuse_it(_: web.Request) -> web.Response:
        return web.json_response(status(429, "RESOURCE_EXHAUSTED", PLEASE, quota(MINUTE), RETRY), status=429)

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", refuse_it)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    http = Http()
    account = structs.replace(PATIENT, api_key="key", base_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    provider = GeminiProvider(account, http, no_blob)
    try:
        for asking in (whole(provider), provider.models()):
            with pytest.raises(RetryableError, match="used up for now") as caught:
                await asking
            assert caught.value.retry_after_seconds == pytest.approx(34.07, abs=0.01)
    finally:
        await http.close()
        await runner.cleanup()


async def test_pr13_nobody_there_is_a_passing_fault_that_names_the_place() -> None:
    http = Http()
    provider = GeminiProvider(Account(api_key="k", base_url="http://127.0.0.1:1/v1beta"), http, no_blob)
    try:
        with pytest.raises(RetryableError, match=r"127\.0\.0\.1:1: no connection"):
            await whole(provider)
    finally:
        await http.close()
