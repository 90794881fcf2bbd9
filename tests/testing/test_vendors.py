"""The fake services: what they refuse, what they keep, and how they run as a process."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from autohands.testing.chaos import FAULTS
from autohands.testing.script import Turn, call, say, write_script
from autohands.testing.vendor_chat import FakeChat
from autohands.testing.vendor_messages import FakeMessages, sign
from autohands.testing.vendor_responses import FakeResponses, seal
from autohands.testing.vendors import FakeVendors, Seen

KEY = {"Authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01"}


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "stream": True, "messages": list(messages) or [{"role": "user", "content": "x"}], **fields}


def responses(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    said = {"type": "message", "role": "user", "content": "x"}
    return {"model": "m", "stream": True, "input": [said, *items], **fields}


def messages(*more: dict[str, Any], **fields: Any) -> dict[str, Any]:
    first = {"role": "user", "content": "x"}
    return {"model": "m", "stream": True, "max_tokens": 9, "messages": [first, *more], **fields}


def called(*ids: str, arguments: str = "{}") -> dict[str, Any]:
    made = [{"id": each, "type": "function", "function": {"name": "f", "arguments": arguments}} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def used(*ids: str) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": each, "name": "f", "input": {}} for each in ids],
    }


def answered(*ids: str, first: Any = ()) -> dict[str, Any]:
    return {"role": "user", "content": [*first, *({"type": "tool_result", "tool_use_id": each} for each in ids)]}


TEXT = {"type": "text", "text": "x"}
MARKED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
ITEM = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (chat(), None),
        (chat(called("c"), {"role": "tool", "tool_call_id": "c", "content": "x"}), None),
        (chat(temperature=1, unheard_of=1), "Unrecognized request argument supplied: unheard_of"),
        (chat(stream=False), "only streams"),
        (chat(stream_options={"x": 1}), "stream_options"),
        ({"model": "", "messages": []}, "must provide a model"),
        (chat({"role": "king", "content": "x"}), "Invalid value: 'king'"),
        (chat({"role": "user", "content": None}), "got null"),
        (chat({"role": "user", "content": []}), "Invalid content"),
        (chat({"role": "tool", "tool_call_id": "c", "content": "x"}), "must be a response to a preceding message"),
        (chat(called("c")), "must be followed by tool messages"),
        (chat(called("c"), {"role": "user", "content": "x"}), "must be followed by tool messages"),
        (chat(called("c", "c")), "duplicate"),
        (chat(called("c" * 41)), "longer than 40"),
        (chat(called("c", arguments="{")), "no JSON"),
        (chat(called("c", arguments="[]")), "no object"),
        (chat(tools=[TOOL, TOOL]), "not unique"),
        (chat(tools=[{"function": {"name": "a b"}}]), "does not match"),
        (chat(tools=[{"function": {"name": "f", "parameters": {}}}]), "must be of type 'object'"),
        (chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/x"}}]}), "Invalid image"),
    ],
)
def test_chat_completions_refuse_what_openai_refuses(body: dict[str, Any], problem: str | None) -> None:
    check(FakeChat().check(body), problem)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (responses(), None),
        (responses(ITEM, OUTPUT), None),
        (responses(unheard_of=1), "Unknown parameter: 'unheard_of'"),
        (responses(stream=False), "only streams"),
        ({"model": "m", "input": []}, "Missing required parameter"),
        (responses({"type": "riddle"}), "Invalid value: 'riddle'"),
        (responses(ITEM), "No tool output found"),
        (responses(OUTPUT), "No tool call found"),
        (responses(ITEM, ITEM, OUTPUT), "Duplicate"),
        (responses({**ITEM, "arguments": "{"}, OUTPUT), "no JSON"),
        (responses({**ITEM, "call_id": ""}), "malformed"),
        (responses({"type": "message", "role": "user", "content": [{"type": "text"}]}), "supported are"),
        (responses({"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"}), "could not be verified"),
        (responses({"type": "reasoning", "id": "r", "summary": [], "encrypted_content": seal("")}), "following item"),
    ],
)
def test_responses_refuse_what_openai_refuses(body: dict[str, Any], problem: str | None) -> None:
    check(FakeResponses().check(body), problem)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (messages(), None),
        (messages(used("c"), answered("c")), None),
        (messages(unheard_of=1), "Extra inputs are not permitted"),
        (messages(max_tokens=0), "max_tokens"),
        (messages(stream=False), "only streams"),
        ({"model": "m", "messages": []}, "Field required"),
        (messages(messages=[{"role": "assistant", "content": "x"}]), "must use the 'user' role"),
        (messages({"role": "tool", "content": "x"}), 'should be "user" or "assistant"'),
        (messages({"role": "user", "content": []}), "non-empty content"),
        (messages({"role": "user", "content": " "}), "non-whitespace"),
        (messages({"role": "user", "content": [{"type": "tool_use"}]}), "expected tags"),
        (messages(used("c"), {"role": "user", "content": "x"}), "without `tool_result`"),
        (messages(used("c")), "without `tool_result`"),
        (messages(answered("c")), "unexpected `tool_use_id`"),
        (messages(used("c"), answered("c", first=[TEXT])), "must come first"),
        (messages(used("c"), answered("c"), used("c"), answered("c")), "must be unique"),
        (messages(used("a b"), answered("a b")), "should match pattern"),
        (messages({"role": "user", "content": [MARKED] * 5}), "maximum of 4"),
        (messages(thinking={"type": "enabled", "budget_tokens": 9}), "budget_tokens"),
        (messages(thinking={"type": "deep"}), "unknown"),
        (
            messages({"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "y"}, TEXT]}),
            "Invalid `signature`",
        ),
        (
            messages({"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": sign("x")}]}),
            "final block",
        ),
        (messages(tools=[{"name": "f", "input_schema": {"type": "string"}}]), "must be of type 'object'"),
    ],
)
def test_messages_refuse_what_anthropic_refuses(body: dict[str, Any], problem: str | None) -> None:
    check(FakeMessages().check(body), problem)


def check(found: str | None, problem: str | None) -> None:
    assert found is None if problem is None else problem in (found or ""), found


async def post(url: str, body: object, headers: dict[str, str] = KEY) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
        return response.status, await response.text()


async def test_a_bad_request_is_refused_in_the_vendors_words_and_kept() -> None:
    async with FakeVendors([]) as vendors:
        status, text = await post(f"{vendors.openai_url}/chat/completions", chat(nonsense=1))
        assert (status, json.loads(text)["error"]["type"]) == (400, "invalid_request_error")
        status, text = await post(f"{vendors.url}/v1/messages", messages(nonsense=1))
        assert (status, json.loads(text)["type"]) == (400, "error")
        status, _ = await post(f"{vendors.openai_url}/chat/completions", chat(), {})
        assert status == 401
        status, _ = await post(f"{vendors.url}/v1/messages", messages(), {"x-api-key": "k"})
        assert status == 400
        status, _ = await post(f"{vendors.url}/elsewhere", {})
        assert status == 404
    assert len(vendors.problems) == len(vendors.requests) == 5


async def test_the_script_can_be_a_function_of_the_request() -> None:
    def script(seen: Seen) -> Turn:
        return say(f"turn {seen.turn}, attempt {seen.attempt}")

    async with FakeVendors(script) as vendors:
        for attempt in (1, 2):
            _, text = await post(f"{vendors.openai_url}/chat/completions", chat())
            assert f'"{attempt}"' in text


def test_a_fault_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="no such fault: earthquake"):
        FakeVendors([Turn(faults=("earthquake",))])
    assert len(FAULTS) == len(set(FAULTS))


async def test_as_a_process_it_prints_its_address_logs_requests_and_ends_with_its_input(tmp_path: Path) -> None:
    write_script(tmp_path / "script.json", [call("f", x=1), say("done")])
    log = tmp_path / "requests.jsonl"
    arguments = ["-m", "autohands.testing.vendors", "--script", str(tmp_path / "script.json"), "--log", str(log)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(30):
        told = json.loads(await process.stdout.readline())
        status, text = await post(f"{told['openai_url']}/chat/completions", chat())
        process.stdin.close()
        assert await process.wait() == 0
    assert status == 200
    assert '"name":"f"' in text
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["api"] == "chat"
