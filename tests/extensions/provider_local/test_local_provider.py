"""Local servers: found or not, what they speak, how much they read, and the extension that offers them."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from autohands.extensions.provider_local import extension
from autohands.extensions.provider_local.account import OLLAMA_URL, LocalAccount, LocalConfig, find_root
from autohands.extensions.provider_local.facts import CONTEXT_TOKENS, Facts, read_models, read_show, read_tags
from autohands.extensions.provider_local.provider import LocalProvider
from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.messages import Message, ToolReturn, Usage, user
from autohands.sdk import Extension
from autohands.sdk.http import Http, ask_now
from autohands.testing.contracts.extension import ExtensionContract
from autohands.testing.host import GivenSecrets, HostServices, NotingHost
from autohands.testing.script import ScriptedCall, Turn, say
from autohands.testing.vendor_ollama import CONTEXT_TOKENS as FAKE_WINDOW
from autohands.testing.vendors import FakeVendors
from extensions.model_services import answer, no_blob, request
from extensions.provider_local.local_services import local

CALL = '<tool_call>\n{"name": "glob", "arguments": {"path": "."}}\n</tool_call>'


@asynccontextmanager
async def pages(told: Mapping[str, Any], **account: Any) -> AsyncIterator[LocalProvider]:
    """A provider before a server that answers some paths with JSON, and all others with 404."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        found = told.get(path)
        body = json.dumps({"error": "not found"} if found is None else found).encode()
        status = "404 Not Found" if found is None else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    http = Http()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield LocalProvider(LocalAccount(base_url=url, **account), http, no_blob)
        finally:
            await http.close()


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize(
    ("given", "root"),
    [
        (None, OLLAMA_URL),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://box:8000/", "http://box:8000"),
        ("http://box:8000/v1", "http://box:8000"),
        ("http://box:8000/v1/chat/completions", "http://box:8000"),
        ("http://box:11434/api/chat", "http://box:11434"),
        ("https://box/ollama", "https://box/ollama"),
        ("http://v1", "http://v1"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_the_address_may_be_written_in_many_ways(given: str | None, root: str) -> None:
    assert find_root(LocalAccount(base_url=given)) == root


async def test_a_server_that_answers_is_available_and_one_that_does_not_is_not() -> None:
    http = Http()
    async with FakeVendors([], needs_key=False) as vendors:
        there = LocalProvider(LocalAccount(base_url=vendors.ollama_url), http, no_blob)
        compatible = LocalProvider(LocalAccount(base_url=vendors.openai_url), http, no_blob)
        assert await asyncio.to_thread(lambda: (there.available, there.default_model)) == (True, "fake-small")
        assert await asyncio.to_thread(lambda: (compatible.available, compatible.default_model)) == (True, "fake-small")
        asked = len(vendors.requests)
        assert there.available
        assert len(vendors.requests) == asked
    away = LocalProvider(LocalAccount(base_url=nobody()), http, no_blob)
    assert (away.available, away.default_model) == (False, None)
    named = LocalProvider(LocalAccount(base_url=nobody(), model="qwen3"), http, no_blob)
    assert (named.available, named.default_model) == (False, "qwen3")
    await http.close()


async def test_a_server_without_a_model_is_not_available() -> None:
    async with pages({"/api/tags": {"models": [{"name": "nomic-embed-text:latest"}]}}) as provider:
        assert not await asyncio.to_thread(lambda: provider.available)
    async with pages({"/api/tags": {"something": "else"}}) as provider:
        assert not await asyncio.to_thread(lambda: provider.available)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://[::1", "http://127.0.0.1:99999/", "http://"])
def test_a_look_where_nobody_is_finds_nothing(url: str) -> None:
    assert ask_now(url, {}, 0.2) is None


def test_a_look_at_a_server_that_never_answers_is_short() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert ask_now(f"http://127.0.0.1:{silent.getsockname()[1]}/", {}, 0.2) is None


async def test_who_is_not_there_is_a_passing_fault_with_the_place() -> None:
    http = Http()
    provider = LocalProvider(LocalAccount(base_url=nobody()), http, no_blob)
    for asking in (answer(provider, request("chat")), provider.models()):
        with pytest.raises(RetryableError, match="no connection") as caught:
            await asking
        assert "base_url" in (caught.value.hint or "")
    await http.close()


async def test_ollamas_window_is_read_and_sent() -> None:
    async with local(say("Hi."), say("On."), context_tokens=20_000) as (provider, vendors):
        assert provider.describe("fake").context_tokens == 20_000
        await answer(provider, request("chat"))
        (sent,) = [seen.body for seen in vendors.requests if seen.api == "ollama"]
    assert sent["options"] == {"num_ctx": 20_000, "num_predict": 2_000}
    assert (sent["truncate"], sent["shift"]) == (False, False)
    async with local(say("Hi."), context_tokens=1_000_000) as (provider, vendors):
        await answer(provider, request("chat"))
        assert vendors.requests[-1].body["options"]["num_ctx"] == FAKE_WINDOW
        assert provider.describe("gpt-4.1").context_tokens == FAKE_WINDOW
        assert provider.describe("gpt-4.1").input_price == 0


async def test_pr10_a_cut_prompt_is_an_overflow_and_not_an_answer() -> None:
    lost = Turn(text="What was the question?", usage=Usage(input=4_096, output=6))
    async with local(lost) as (provider, _):
        with pytest.raises(ProviderError, match="cut the rest off") as caught:
            await answer(provider, request("chat", (user("word " * 40_000),)))
        assert caught.value.kind == "overflow"
        assert (await answer(provider, request("chat")))[1].message.text == "What was the question?"


async def test_results_name_their_tool_and_reasoning_goes_back() -> None:
    first = Turn(thinking="Hm.", text="I look.", calls=(ScriptedCall("glob", {"path": "."}),))
    async with local(first, say("Done.")) as (provider, vendors):
        reply = (await answer(provider, request("chat")))[1]
        results = Message("tool", tuple(ToolReturn(call.id, "a.txt") for call in reply.tool_calls))
        assert (await answer(provider, request("chat", (user("Begin."), reply.message, results))))[1].message.text
        said, result = vendors.requests[-1].body["messages"][-2:]
    assert (said["thinking"], said["content"]) == ("Hm.", "I look.")
    assert (result["tool_name"], result["tool_call_id"]) == ("glob", said["tool_calls"][0]["id"])


@pytest.mark.parametrize("speaks", ["ollama", "openai"])
async def test_pr09_printed_calls_are_taken_where_tools_were_offered(speaks: str) -> None:
    async with local(say(CALL), speaks=speaks) as (provider, _):
        reply = (await answer(provider, request("chat")))[1]
        assert [(call.name, call.arguments) for call in reply.tool_calls] == [("glob", {"path": "."})]
        plain = (await answer(provider, structs.replace(request("chat"), tools=())))[1]
        assert (plain.message.text, plain.tool_calls) == (CALL, ())
    async with local(say(CALL), speaks=speaks, printed_calls=False) as (provider, _):
        reply = (await answer(provider, request("chat")))[1]
        assert (reply.message.text, reply.tool_calls) == (CALL, ())


TAGS = {"models": [{"name": "tiny:1b", "model": "tiny:1b"}, {"name": "nomic-embed-text:latest"}]}


async def test_a_model_that_cannot_call_tools_is_refused_before_the_call() -> None:
    told = {"/api/tags": TAGS, "/api/show": {"capabilities": ["completion"]}}
    async with pages(told) as provider:
        with pytest.raises(ProviderError, match="cannot call tools") as caught:
            await answer(provider, request("chat"))
    assert "ollama show" in (caught.value.hint or "")


async def test_models_of_ollama_come_with_their_windows() -> None:
    show = {"model_info": {"llama.context_length": 8_192}, "parameters": "stop x\nnum_ctx    4096"}
    async with pages({"/api/tags": TAGS, "/api/show": show}) as provider:
        found = {info.name: info.context_tokens for info in await provider.models()}
        assert found == {"tiny:1b": 4_096, "nomic-embed-text:latest": 4_096}
        assert (provider.available, provider.default_model) == (True, "tiny:1b")


VLLM = {"/v1/models": {"data": [{"id": "qwen", "owned_by": "vllm", "max_model_len": 40_960}]}}
LLAMA_CPP = {
    "/api/tags": {"models": [{"name": "q.gguf"}], "object": "list", "data": [{"id": "q.gguf"}]},
    "/v1/models": {"data": [{"id": "q.gguf", "owned_by": "llamacpp", "meta": {"n_ctx_train": 131_072}}]},
    "/props": {"default_generation_settings": {"n_ctx": 16_384}, "total_slots": 1},
}
LM_STUDIO = {
    "/v1/models": {"data": [{"id": "a"}, {"id": "b"}]},
    "/api/v0/models": {
        "data": [
            {"id": "a", "state": "loaded", "max_context_length": 131_072, "loaded_context_length": 4_096},
            {"id": "b", "state": "not-loaded", "max_context_length": 8_192},
        ]
    },
}
PLAIN = {"/v1/models": {"data": [{"id": "x"}]}}


@pytest.mark.parametrize(
    ("told", "windows"),
    [
        (VLLM, {"qwen": 40_960}),
        (LLAMA_CPP, {"q.gguf": 16_384}),
        (LM_STUDIO, {"a": 4_096, "b": 8_192}),
        (PLAIN, {"x": CONTEXT_TOKENS}),
    ],
)
async def test_each_kind_of_server_tells_its_windows_somewhere_else(told: Any, windows: dict[str, int]) -> None:
    async with pages(told) as provider:
        assert {info.name: info.context_tokens for info in await provider.models()} == windows


async def test_a_server_of_no_known_kind_is_an_error_with_the_remedy() -> None:
    for api, told in (("auto", {"/v1/models": []}), ("ollama", LLAMA_CPP)):
        async with pages(told, api=api) as provider:
            with pytest.raises(ProviderError, match="lists no models") as caught:
                await provider.models()
            assert "base_url" in (caught.value.hint or "")


@pytest.mark.parametrize("found", [None, [], {"models": None}, {"models": 5}, {"data": 5}, "x", {"data": [1]}])
def test_listings_of_any_shape_are_read_without_harm(found: Any) -> None:
    assert read_tags(found) is None
    models = read_models(found)
    assert models is None or models.models == {}
    assert read_show(found, None) == Facts()


def test_its_configuration_is_strict_and_flat() -> None:
    table = {"context_tokens": 8_192, "api": "ollama", "named": {"box": {"base_url": "http://box:8000"}}}
    config = msgspec.convert(table, LocalConfig)
    assert config.named["box"].base_url == "http://box:8000"
    with pytest.raises(msgspec.ValidationError, match="contxt"):
        msgspec.convert({"contxt": 1}, LocalConfig)


class TestExtension(ExtensionContract):
    @pytest.fixture
    def extension(self) -> Extension:
        return extension


async def test_the_extension_offers_local_and_every_named_server(tmp_path: Path) -> None:
    secrets = GivenSecrets({"LOCAL_BASE_URL": nobody(), "BOX_BASE_URL": nobody()})
    host = NotingHost(tmp_path, HostServices(secrets=secrets))
    async for _ in extension.run(host, LocalConfig(named={"box": LocalAccount(model="m")})):
        assert [(each.name, each.available) for each in host.providers.values()] == [("local", False), ("box", False)]
    assert host.providers["box"].default_model == "m"
