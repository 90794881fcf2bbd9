"""OpenAI's provider: which protocol, which address, which peculiarities; and the extension that offers it."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from autohands.extensions.provider_openai import extension
from autohands.extensions.provider_openai.account import (
    OPENAI,
    PRESETS,
    OpenAIAccount,
    OpenAIConfig,
    find_base_url,
    find_quirks,
)
from autohands.extensions.provider_openai.models import DEFAULT_MODEL, MODELS, describe, reasons
from autohands.extensions.provider_openai.provider import OpenAIProvider
from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Message, ToolReturn, Usage, user
from autohands.sdk import Extension
from autohands.sdk.http import Http
from autohands.testing.contracts.extension import ExtensionContract
from autohands.testing.host import GivenSecrets, HostServices, NotingHost
from autohands.testing.script import ScriptedCall, Turn, say
from autohands.testing.vendors import FakeVendors
from extensions.model_services import answer, no_blob, request, service


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "https://api.openai.com/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1/chat/completions", "http://127.0.0.1:8000/v1"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("https://me.openai.azure.com/openai/v1", "https://me.openai.azure.com/openai/v1"),
    ],
)
def test_the_base_url_may_be_written_in_many_ways(given: str | None, used: str) -> None:
    account = OpenAIAccount(base_url=given)
    assert find_base_url(account, find_quirks(account, "openai")) == used


@pytest.mark.parametrize(
    ("account", "name", "preset"),
    [
        (OpenAIAccount(), "openai", "openai"),
        (OpenAIAccount(), "groq", "groq"),
        (OpenAIAccount(base_url="https://api.deepseek.com"), "mine", "deepseek"),
        (OpenAIAccount(base_url="https://me.openai.azure.com/openai/v1"), "mine", "azure"),
        (OpenAIAccount(base_url="https://proxy.test/v1", preset="mistral"), "mine", "mistral"),
        (OpenAIAccount(base_url="https://api.openai.com/v1"), "work", "openai"),
    ],
)
def test_a_service_is_known_by_preset_host_or_name(account: OpenAIAccount, name: str, preset: str) -> None:
    assert find_quirks(account, name) == PRESETS[preset]


def test_an_unknown_service_is_taken_for_a_plain_one() -> None:
    quirks = find_quirks(OpenAIAccount(base_url="https://models.test/v1"), "mine")
    assert (quirks.responses, quirks.cache_key, quirks.max_tokens) == (False, False, "max_tokens")
    behind_a_proxy = find_quirks(OpenAIAccount(base_url="https://proxy.test/v1"), "openai")
    assert behind_a_proxy == structs.replace(OPENAI, base_url=None, responses=False)


@pytest.mark.parametrize(
    ("api", "base_url", "model", "spoken"),
    [
        ("auto", None, "gpt-4.1", False),
        ("auto", None, "gpt-6.1-sol", True),
        ("auto", None, "o3", True),
        ("auto", "http://127.0.0.1:1/v1", "gpt-6.1-sol", False),
        ("chat", None, "gpt-6.1-sol", False),
        ("responses", "http://127.0.0.1:1/v1", "any", True),
    ],
)
def test_the_protocol_follows_service_and_model(api: Any, base_url: str | None, model: str, *, spoken: bool) -> None:
    provider = OpenAIProvider(OpenAIAccount(api_key="k", base_url=base_url, api=api), Http(), no_blob)
    assert provider._speaks_responses(model) is spoken


def test_models_are_described_by_their_longest_prefix() -> None:
    assert describe("gpt-4o-mini-2024-07-18").input_price == 150_000
    assert describe("gpt-6.1-sol").name == DEFAULT_MODEL
    assert describe("my-own-model").input_price is None
    assert describe("my-own-model").context_tokens == 32_000
    assert reasons("o3-mini")
    assert not reasons("gpt-4o")
    assert all(info.priced for info in MODELS.values() if info.input_price is not None)


async def test_without_a_key_it_stands_there_and_says_what_is_missing() -> None:
    provider = OpenAIProvider(OpenAIAccount(), Http(), no_blob)
    assert not provider.available
    assert provider.default_model == DEFAULT_MODEL
    for asking in (answer(provider, request("chat")), provider.models()):
        with pytest.raises(ProviderError, match="openai: there is no API key") as caught:
            await asking
        assert "OPENAI_API_KEY" in (caught.value.hint or "")


async def test_a_local_service_needs_no_key() -> None:
    http = Http()
    async with FakeVendors([say("Hi.")], needs_key=False) as vendors:
        provider = OpenAIProvider(OpenAIAccount(base_url=vendors.url), http, no_blob, name="local")
        assert provider.available
        assert provider.default_model is None
        assert (await answer(provider, request("chat")))[1].message.text == "Hi."
        assert [info.name for info in await provider.models()] == ["fake-large", "fake-small"]
        assert "authorization" not in vendors.requests[0].headers
    await http.close()


async def test_azure_takes_its_key_in_a_header_of_its_own() -> None:
    http = Http()
    async with FakeVendors([say("Hi.")]) as vendors:
        account = OpenAIAccount(api_key="secret", base_url=vendors.openai_url, preset="azure")
        await answer(OpenAIProvider(account, http, no_blob), request("chat"))
    assert vendors.requests[0].headers["api-key"] == "secret"
    await http.close()


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_cached_tokens_are_a_share_of_the_input_and_the_session_is_the_cache_key(api: str) -> None:
    turn = Turn(text="Hi.", usage=Usage(input=100, output=20, cache_read=60, thinking=5))
    async with service(api, turn) as (provider, vendors):
        reply = (await answer(provider, request(api)))[1]
    assert reply.usage == Usage(input=100, output=20, cache_read=60, thinking=5)
    assert vendors.requests[0].body["prompt_cache_key"] == "ses_1"


async def test_reasoning_goes_back_encrypted_to_the_model_that_made_it_only() -> None:
    turn = Turn(thinking="Secret thought.", calls=(ScriptedCall("glob", {}),))
    async with service("responses", turn, say("Done.")) as (provider, vendors):
        first = (await answer(provider, request("responses")))[1]
        results = Message("tool", tuple(ToolReturn(call.id, "x") for call in first.tool_calls))
        conversation = (user("Begin."), first.message, results)
        assert (await answer(provider, request("responses", conversation)))[1].message.text == "Done."
        other = structs.replace(request("responses", conversation), model="gpt-5.5")
        assert (await answer(provider, other))[1].message.text == "Done."
    assert [item["type"] for item in vendors.requests[1].body["input"]][1] == "reasoning"
    assert "reasoning" not in [item["type"] for item in vendors.requests[2].body["input"]]
    assert vendors.problems == []


async def test_keys_stay_out_of_errors() -> None:
    http = Http()
    async with FakeVendors([Turn(faults=("401",))]) as vendors:
        provider = OpenAIProvider(OpenAIAccount(api_key="sk-secret", base_url=vendors.openai_url), http, no_blob)
        with pytest.raises(ProviderError) as caught:
            await answer(provider, request("chat"))
    assert "sk-secret" not in f"{caught.value.text}{caught.value.hint}"
    await http.close()


def test_its_configuration_is_strict_and_flat() -> None:
    table = {"api_key": "k", "model": "gpt-5", "idle_seconds": 5, "named": {"groq": {"api_key": "g"}}}
    config = msgspec.convert(table, OpenAIConfig)
    assert config.deadlines.idle_seconds == 5
    assert config.named["groq"].api_key == "g"
    with pytest.raises(msgspec.ValidationError, match="modle"):
        msgspec.convert({"modle": "x"}, OpenAIConfig)
    assert extension.config is OpenAIConfig
    assert json.loads(msgspec.json.encode(OpenAIConfig()))["named"] == {}


class TestExtension(ExtensionContract):
    @pytest.fixture
    def extension(self) -> Extension:
        return extension


async def test_the_extension_offers_openai_and_every_named_service(tmp_path: Path) -> None:
    secrets = GivenSecrets({"OPENAI_API_KEY": "k", "GROQ_API_KEY": "g"})
    host = NotingHost(tmp_path, HostServices(secrets=secrets))
    config = OpenAIConfig(named={"groq": OpenAIAccount(), "deepseek": OpenAIAccount(model="deepseek-chat")})
    async for _ in extension.run(host, config):
        assert [(each.name, each.available) for each in host.providers.values()] == [
            ("openai", True),
            ("groq", True),
            ("deepseek", False),
        ]
    assert host.providers["deepseek"].default_model == "deepseek-chat"
