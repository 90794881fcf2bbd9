"""Anthropic's provider: its address, headers, marks and counts; and the extension that offers it."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from autohands.extensions.provider_anthropic import extension
from autohands.extensions.provider_anthropic.account import AnthropicConfig, find_base_url
from autohands.extensions.provider_anthropic.models import DEFAULT_MODEL, MODELS, describe
from autohands.extensions.provider_anthropic.provider import AnthropicProvider
from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Message, ToolReturn, Usage, user
from autohands.sdk import Extension
from autohands.sdk.account import Account
from autohands.sdk.http import Http
from autohands.testing.contracts.extension import ExtensionContract
from autohands.testing.host import GivenSecrets, HostServices, NotingHost
from autohands.testing.script import ScriptedCall, Turn, say
from extensions.model_services import answer, no_blob, request, service


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "https://api.anthropic.com"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1/messages", "http://127.0.0.1:8000"),
        ("https://api.deepseek.com/anthropic", "https://api.deepseek.com/anthropic"),
    ],
)
def test_the_base_url_may_be_written_in_many_ways(given: str | None, used: str) -> None:
    assert find_base_url(Account(base_url=given)) == used


def test_models_are_described_by_their_longest_prefix() -> None:
    assert describe("claude-sonnet-5-5").name == DEFAULT_MODEL
    assert describe("claude-sonnet-4-5-20250929").input_price == 3_000_000
    assert describe("claude-next").input_price is None
    assert describe("claude-next").context_tokens == 200_000
    assert describe("another").context_tokens == 32_000
    assert all(info.priced for info in MODELS.values() if info.input_price is not None)


async def test_without_a_key_it_stands_there_and_says_what_is_missing() -> None:
    provider = AnthropicProvider(Account(), Http(), no_blob)
    assert not provider.available
    assert provider.default_model == DEFAULT_MODEL
    for asking in (answer(provider, request("messages")), provider.models()):
        with pytest.raises(ProviderError, match="anthropic: there is no API key") as caught:
            await asking
        assert "ANTHROPIC_API_KEY" in (caught.value.hint or "")


async def test_usage_counts_the_whole_prompt_with_what_was_cached() -> None:
    told = Usage(input=1_000, output=50, cache_read=700, cache_write=200)
    async with service("messages", Turn(text="Hi.", usage=told)) as (provider, vendors):
        assert (await answer(provider, request("messages")))[1].usage == told
        assert [info.name for info in await provider.models()] == ["fake-large", "fake-small"]
    assert vendors.requests[0].headers["anthropic-version"] == "2023-06-01"
    assert vendors.requests[0].headers["x-api-key"] == "key"


async def test_every_turn_is_marked_for_the_cache() -> None:
    script = [Turn(calls=(ScriptedCall("glob", {}),)) for _ in range(4)]
    async with service("messages", *script, say("Done.")) as (provider, vendors):
        conversation = [user("Begin.")]
        for _ in range(5):
            reply = (await answer(provider, request("messages", conversation)))[1]
            conversation.append(reply.message)
            results = tuple(ToolReturn(call.id, "x") for call in reply.tool_calls)
            conversation += [Message("tool", results)] if results else []
    assert vendors.problems == []
    for seen in vendors.requests:
        marks = json.dumps(seen.body).count('"cache_control"')
        assert marks == (3 if seen.turn == 0 else 4)


async def test_thinking_goes_back_signed_to_the_model_that_made_it_only() -> None:
    turn = Turn(thinking="Let me think.", calls=(ScriptedCall("glob", {}),))
    async with service("messages", turn, say("Done.")) as (provider, vendors):
        first = (await answer(provider, request("messages")))[1]
        results = Message("tool", tuple(ToolReturn(call.id, "x") for call in first.tool_calls))
        conversation = (user("Begin."), first.message, results)
        assert (await answer(provider, request("messages", conversation)))[1].message.text == "Done."
        other = structs.replace(request("messages", conversation), model="claude-opus-5-5")
        assert (await answer(provider, other))[1].message.text == "Done."
    kinds = [[block["type"] for block in seen.body["messages"][1]["content"]] for seen in vendors.requests[1:]]
    assert kinds == [["thinking", "tool_use"], ["tool_use"]]
    assert vendors.problems == []


async def test_a_budget_comes_with_interleaved_thinking() -> None:
    asked = structs.replace(request("messages"), model="claude-sonnet-4-5", thinking="low", max_output_tokens=8_000)
    async with service("messages", say("Hi.")) as (provider, vendors):
        await answer(provider, asked)
        await answer(provider, structs.replace(asked, thinking=None))
    assert vendors.requests[0].headers["anthropic-beta"].startswith("interleaved-thinking")
    assert "anthropic-beta" not in vendors.requests[1].headers
    assert vendors.problems == []


class TestExtension(ExtensionContract):
    @pytest.fixture
    def extension(self) -> Extension:
        return extension


async def test_the_extension_offers_anthropic_and_every_named_service(tmp_path: Path) -> None:
    secrets = GivenSecrets({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"})
    host = NotingHost(tmp_path, HostServices(secrets=secrets))
    config = AnthropicConfig(model="claude-haiku-5-5", named={"kimi": Account(base_url="http://127.0.0.1:2")})
    async for _ in extension.run(host, config):
        assert [(each.name, each.available) for each in host.providers.values()] == [
            ("anthropic", True),
            ("kimi", True),
        ]
    assert [each.default_model for each in host.providers.values()] == ["claude-haiku-5-5", None]
