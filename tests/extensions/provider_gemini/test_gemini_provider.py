"""Gemini's provider: its address, headers, models and signatures; and the extension that offers it."""

from pathlib import Path

import pytest
from msgspec import structs

from autohands.extensions.provider_gemini import extension
from autohands.extensions.provider_gemini.account import GeminiConfig, find_base_url, model_path
from autohands.extensions.provider_gemini.models import DEFAULT_MODEL, MODELS, describe
from autohands.extensions.provider_gemini.provider import GeminiProvider
from autohands.extensions.provider_gemini.wire import UNSIGNED
from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Message, ToolReturn, Usage, user
from autohands.sdk import Extension
from autohands.sdk.account import Account
from autohands.sdk.http import Http
from autohands.testing.contracts.extension import ExtensionContract
from autohands.testing.host import GivenSecrets, HostServices, NotingHost
from autohands.testing.script import ScriptedCall, Turn, say
from extensions.model_services import answer, no_blob
from extensions.provider_gemini.gemini_service import gemini, request


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "https://generativelanguage.googleapis.com/v1beta"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1beta"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1beta"),
        ("http://127.0.0.1:8000/v1beta/", "http://127.0.0.1:8000/v1beta"),
        ("http://127.0.0.1:8000/v1beta/models", "http://127.0.0.1:8000/v1beta"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("https://proxy.example/google", "https://proxy.example/google"),
    ],
)
def test_the_base_url_may_be_written_in_many_ways(given: str | None, used: str) -> None:
    assert find_base_url(Account(base_url=given)) == used


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-3.8-flash", "models/gemini-3.8-flash"),
        ("models/gemini-3.8-flash", "models/gemini-3.8-flash"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("a model?key=x#y", "models/a%20model%3Fkey%3Dx%23y"),
    ],
)
def test_a_model_has_a_place_below_the_base_url(model: str, path: str) -> None:
    assert model_path(model) == path


def test_models_are_described_by_their_longest_prefix() -> None:
    assert describe("gemini-3.8-flash").name == DEFAULT_MODEL
    assert describe("gemini-2.5-flash-lite-preview-09-2025").input_price == 100_000
    assert describe("gemini-3.1-pro-preview").context_tokens == 200_000
    assert describe("models/gemini-2.5-pro").output_price == 10_000_000
    assert describe("gemini-9").input_price is None
    assert describe("another").context_tokens == 32_000
    assert all(info.priced for info in MODELS.values() if info.input_price is not None)


async def test_without_a_key_it_stands_there_and_says_what_is_missing() -> None:
    provider = GeminiProvider(Account(), Http(), no_blob)
    assert not provider.available
    assert provider.default_model == DEFAULT_MODEL
    for asking in (answer(provider, request()), provider.models()):
        with pytest.raises(ProviderError, match="gemini: there is no API key") as caught:
            await asking
        assert "GEMINI_API_KEY" in (caught.value.hint or "")


async def test_usage_counts_thoughts_as_output_and_the_cache_within_the_prompt() -> None:
    told = Usage(input=1_000, output=50, cache_read=700, thinking=20)
    async with gemini(Turn(text="Hi.", usage=told)) as (provider, vendors):
        assert (await answer(provider, request()))[1].usage == told
    (seen,) = vendors.requests
    assert seen.path == "/v1beta/models/gemini-3.8-flash:streamGenerateContent"
    assert seen.headers["x-goog-api-key"] == "key"


async def test_the_models_that_answer_with_text_are_listed_with_their_limits() -> None:
    async with gemini() as (provider, _):
        listed = await provider.models()
    assert [(info.name, info.context_tokens, info.output_tokens) for info in listed] == [
        ("fake-large", 65_536, 8_192),
        ("fake-small", 65_536, 8_192),
    ]


async def test_signatures_go_back_to_the_model_that_made_them_only() -> None:
    turn = Turn(thinking="Let me think.", calls=(ScriptedCall("glob", {}), ScriptedCall("glob", {"path": "x"})))
    async with gemini(turn, say("Done.")) as (provider, vendors):
        first = (await answer(provider, request()))[1]
        results = Message("tool", tuple(ToolReturn(call.id, "x") for call in first.tool_calls))
        conversation = (user("Begin."), first.message, results)
        assert (await answer(provider, request(conversation)))[1].message.text == "Done."
        assert (await answer(provider, request(conversation, "gemini-3.5-flash")))[1].message.text == "Done."
    signatures = [
        [part.get("thoughtSignature") for part in seen.body["contents"][1]["parts"]] for seen in vendors.requests[1:]
    ]
    assert len(signatures[0]) == len(signatures[1]) == 2
    assert signatures[0][0] not in (None, UNSIGNED)
    assert signatures[1][0] == UNSIGNED
    assert [each[1] for each in signatures] == [None, None]
    assert vendors.problems == []


async def test_what_is_signed_must_come_back_as_it_was() -> None:
    turn = Turn(calls=(ScriptedCall("glob", {"path": "a"}),))
    async with gemini(turn, say("Done.")) as (provider, vendors):
        first = (await answer(provider, request()))[1]
        (call,) = first.tool_calls
        changed = structs.replace(call, arguments={"path": "b"})
        parts = tuple(changed if part == call else part for part in first.message.parts)
        results = Message("tool", (ToolReturn(call.id, "x"),))
        with pytest.raises(ProviderError, match="Thought signature is not valid"):
            await answer(provider, request((user("Begin."), Message("assistant", parts), results)))
    assert len(vendors.problems) == 1


class TestExtension(ExtensionContract):
    @pytest.fixture
    def extension(self) -> Extension:
        return extension


async def test_the_extension_offers_gemini_and_every_named_service(tmp_path: Path) -> None:
    secrets = GivenSecrets({"GEMINI_API_KEY": "k", "GEMINI_BASE_URL": "http://127.0.0.1:1"})
    host = NotingHost(tmp_path, HostServices(secrets=secrets))
    config = GeminiConfig(model="gemini-2.5-pro", named={"proxy": Account(base_url="http://127.0.0.1:2")})
    async for _ in extension.run(host, config):
        assert [(each.name, each.available) for each in host.providers.values()] == [("gemini", True), ("proxy", True)]
    assert [each.default_model for each in host.providers.values()] == ["gemini-2.5-pro", None]
