"""Ark: where it is, how it is told to think, what it keeps, how its errors are read, and the extension."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from autohands.extensions.provider_ark import extension
from autohands.extensions.provider_ark.account import ARK, ARK_URL, ArkAccount, ArkConfig, find_quirks
from autohands.extensions.provider_ark.models import DEFAULT_MODEL, MODELS
from autohands.extensions.provider_openai.account import find_base_url
from autohands.extensions.provider_openai.chains import KEPT_SECONDS, MOST_CHAINS, SAFE_SECONDS, Chains
from autohands.extensions.provider_openai.provider import OpenAIProvider
from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.messages import Message, Text, ToolReturn, Usage, user
from autohands.protocols.provider import Request
from autohands.sdk import Extension
from autohands.sdk.faults import Service, from_code, from_status
from autohands.sdk.http import Http
from autohands.testing.contracts.extension import ExtensionContract
from autohands.testing.host import GivenSecrets, HostServices, NotingHost
from autohands.testing.script import ScriptedCall, Turn, say
from autohands.testing.vendors import FakeVendors
from extensions.model_services import answer, no_blob, request
from extensions.provider_ark.ark_services import ark

SERVICE = Service("ark", "ARK_API_KEY", ARK_URL)


def seed(**changes: Any) -> Request:
    return structs.replace(request("chat"), model=DEFAULT_MODEL, **changes)


def test_it_is_where_the_vendor_says_and_differs_by_facts_only() -> None:
    account = ArkAccount(api_key="k")
    provider = OpenAIProvider(account, Http(), no_blob, name="ark", quirks=find_quirks(account))
    assert find_base_url(account, ARK) == ARK_URL
    assert provider.available
    assert provider.default_model == DEFAULT_MODEL
    assert find_quirks(account) == ARK
    assert find_quirks(ArkAccount(cache="session")) == structs.replace(ARK, chains=True)


def test_models_have_windows_and_dated_prices() -> None:
    provider = OpenAIProvider(ArkAccount(), Http(), no_blob, name="ark", quirks=ARK)
    assert provider.describe(DEFAULT_MODEL).input_price == 890_600
    assert provider.describe(DEFAULT_MODEL).priced == "2026-08-26"
    assert provider.describe("doubao-seed-1-6-flash-250828").output_price == 890_600
    assert provider.describe("ep-20260101-abcde").input_price is None
    assert provider.describe("ep-20260101-abcde").context_tokens == 32_000
    assert all(info.priced for info in MODELS.values() if info.input_price is not None)


@pytest.mark.parametrize(
    ("model", "level", "told"),
    [
        (DEFAULT_MODEL, None, {}),
        (DEFAULT_MODEL, "off", {"thinking": {"type": "disabled"}}),
        (DEFAULT_MODEL, "high", {"reasoning_effort": "high"}),
        ("doubao-seed-1-6-251015", "low", {"reasoning_effort": "low"}),
        ("doubao-seed-1-6-250615", "low", {"thinking": {"type": "enabled"}}),
        ("deepseek-v3-2-251201", "high", {"thinking": {"type": "enabled"}}),
        ("ep-20260101-abcde", "off", {"thinking": {"type": "disabled"}}),
    ],
)
async def test_thinking_is_switched_as_the_model_takes_it(model: str, level: Any, told: dict[str, Any]) -> None:
    async with ark(say("Hi.")) as (provider, vendors):
        await answer(provider, structs.replace(seed(), model=model, thinking=level))
        body = vendors.requests[0].body
    assert {key: body[key] for key in ("thinking", "reasoning_effort") if key in body} == told
    assert vendors.problems == []


async def test_reasoning_goes_back_to_the_model_that_made_it_only() -> None:
    turn = Turn(thinking="Hm.", calls=(ScriptedCall("glob", {}),))
    async with ark(turn, say("Done.")) as (provider, vendors):
        first = (await answer(provider, seed()))[1]
        results = Message("tool", tuple(ToolReturn(call.id, "x") for call in first.tool_calls))
        said = (user("Begin."), first.message, results)
        await answer(provider, seed(messages=said))
        await answer(provider, structs.replace(seed(messages=said), model="deepseek-v3-2-251201"))
    assert vendors.requests[1].body["messages"][2]["reasoning_content"] == "Hm."
    assert "reasoning_content" not in vendors.requests[2].body["messages"][2]


async def test_cached_tokens_are_counted() -> None:
    turn = Turn(text="Hi.", usage=Usage(input=412, output=61, cache_read=384, thinking=29))
    async with ark(turn) as (provider, _):
        assert (await answer(provider, seed()))[1].usage == turn.usage


async def test_a_kept_answer_is_continued_with_what_is_new_only() -> None:
    turns = (Turn(text="I look.", calls=(ScriptedCall("glob", {}),)), say("Done."), say("Gladly."))
    async with ark(*turns, api="responses", cache="session") as (provider, vendors):
        first = (await answer(provider, seed()))[1]
        results = Message("tool", tuple(ToolReturn(call.id, "x") for call in first.tool_calls))
        said = (user("Begin."), first.message, results)
        second = (await answer(provider, seed(messages=said)))[1]
        third = (await answer(provider, seed(messages=(*said, second.message, user("Thanks.")))))[1]
        bodies = [seen.body for seen in vendors.requests]
    assert third.message.text == "Gladly."
    assert [body.get("previous_response_id") for body in bodies] == [None, "resp_0", "resp_1"]
    assert [len(body["input"]) for body in bodies] == [2, 1, 1]
    assert ["tools" in body for body in bodies] == [True, False, False]
    assert bodies[0]["input"][0] == {"type": "message", "role": "system", "content": "You are a test."}
    assert all("instructions" not in body and body["caching"] == {"type": "enabled"} for body in bodies)
    assert vendors.problems == []


@pytest.mark.parametrize("changed", ["history", "system", "tools", "model"])
async def test_what_does_not_continue_is_sent_whole(changed: str) -> None:
    async with ark(say("One."), say("Two."), api="responses", cache="session") as (provider, vendors):
        first = (await answer(provider, seed()))[1]
        after = seed(messages=(user("Begin."), first.message, user("On.")))
        changes: dict[str, Any] = {
            "history": {"messages": (user("Begun."), first.message, user("On."))},
            "system": {"system": "Another."},
            "tools": {"tools": ()},
            "model": {"model": "doubao-seed-2-0-pro-260215"},
        }
        await answer(provider, structs.replace(after, **changes[changed]))
    assert "previous_response_id" not in vendors.requests[1].body
    assert vendors.problems == []


async def test_an_answer_that_ark_forgot_is_no_harm() -> None:
    script = (say("One."), say("Two."))
    async with ark(*script, api="responses", cache="session") as (provider, vendors):
        first = (await answer(provider, seed()))[1]
        await vendors.__aexit__(None, None, None)
        async with FakeVendors(script, port=int(vendors.url.rpartition(":")[2])) as restarted:
            after = seed(messages=(user("Begin."), first.message, user("On.")))
            assert (await answer(provider, after))[1].message.text == "Two."
    assert ["previous_response_id" in seen.body for seen in restarted.requests] == [True, False]


def test_chains_end_before_ark_forgets_and_the_oldest_go_first() -> None:
    chains, said = Chains(), Message("assistant", (Text("One."),))
    first = seed(messages=(user("Begin."),))
    after = seed(messages=(*first.messages, said, user("On.")))
    chains.keep(first, said, "resp_1", ends=KEPT_SECONDS)
    assert chains.continued(after, now=0.0) == ("resp_1", structs.replace(after, messages=after.messages[2:]))
    assert chains.continued(after, now=KEPT_SECONDS - SAFE_SECONDS + 1.0) is None
    assert chains.continued(first, now=0.0) is None
    for number in range(MOST_CHAINS):
        chains.keep(structs.replace(first, cache_key=f"ses_{number + 2}"), said, "resp_2", ends=KEPT_SECONDS)
    assert chains.continued(after, now=0.0) is None
    chains.keep(structs.replace(first, cache_key=None), said, "resp_3", ends=KEPT_SECONDS)
    assert chains.continued(structs.replace(after, cache_key=None), now=0.0) is None


def _body(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "param": "", "type": "X"}}).encode()


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "InputTextSensitiveContentDetected", "the input text may contain sensitive information.", "refused"),
        (400, "SensitiveContentDetected.Violence", "may contain violence information.", "refused"),
        (400, "InvalidParameter", "Input length 300000 exceeds the maximum length 224000.", "overflow"),
        (400, "InvalidParameter", "One or more parameters specified in the request are not valid.", "invalid"),
        (401, "AuthenticationError", "The API key or AK/SK in the request is missing or invalid.", "auth"),
        (403, "AccountOverdueError", "The request failed because your account has an overdue balance.", "spend"),
        (403, "AccessDenied", "The request failed because you do not have access.", "auth"),
        (404, "ModelNotOpen", "Your account has not activated the model.", "invalid"),
        (429, "SetLimitExceeded", "Your account has reached the set inference limit.", "spend"),
        (429, "QuotaExceeded", "Your account has exhausted its free trial quota.", "spend"),
        (429, "RateLimitExceeded.EndpointTPMExceeded", "The TPM limit of the endpoint has been exceeded.", None),
        (429, "ServerOverloaded", "The service is currently unable to handle additional requests.", None),
        (500, "InternalServiceError", "The service encountered an unexpected internal error.", None),
    ],
)
def test_pr05_arks_errors_are_read_as_arks_list_means_them(
    status: int, code: str, message: str, kind: str | None
) -> None:
    error = from_status(SERVICE, status, {}, _body(code, message))
    assert getattr(error, "kind", None) == kind
    assert isinstance(error, RetryableError if kind is None else ProviderError)


@pytest.mark.parametrize("code", ["ServerOverloaded", "InternalServiceError", "RateLimitExceeded.EndpointRPMExceeded"])
def test_pr05_arks_passing_faults_within_a_stream_are_passing(code: str) -> None:
    assert isinstance(from_code(SERVICE, code, "later"), RetryableError)
    assert isinstance(from_code(SERVICE, "InvalidParameter", "never"), ProviderError)


def test_its_configuration_is_strict_and_flat() -> None:
    config = msgspec.convert({"api": "responses", "cache": "session", "named": {"bp": {"api_key": "k"}}}, ArkConfig)
    assert config.named["bp"].api_key == "k"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"cache": "sessions"}, ArkConfig)


class TestExtension(ExtensionContract):
    @pytest.fixture
    def extension(self) -> Extension:
        return extension


async def test_the_extension_offers_ark_and_every_named_account(tmp_path: Path) -> None:
    host = NotingHost(tmp_path, HostServices(secrets=GivenSecrets({"ARK_API_KEY": "k"})))
    async for _ in extension.run(host, ArkConfig(named={"byteplus": ArkAccount(model="seed-1-8")})):
        assert len(host.providers) == 2
    found = [(each.name, each.available, each.default_model) for each in host.providers.values()]
    assert found == [("ark", True, DEFAULT_MODEL), ("byteplus", False, "seed-1-8")]
