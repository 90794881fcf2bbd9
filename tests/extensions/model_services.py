"""Providers against fake services on loopback, for the tests of all of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import structs

from autohands.extensions.provider_anthropic.provider import AnthropicProvider
from autohands.extensions.provider_openai.account import OpenAIAccount
from autohands.extensions.provider_openai.provider import OpenAIProvider
from autohands.protocols.errors import NotFound
from autohands.protocols.messages import BlobRef, Message, Reply, user
from autohands.protocols.provider import Delta, LLMProvider, Replied, Request, ToolSchema
from autohands.sdk.account import Account
from autohands.sdk.http import Http
from autohands.testing.script import Turn
from autohands.testing.vendors import FakeVendors

TOOLS = tuple(
    ToolSchema(name, f"The tool {name}.", {"type": "object", "properties": {"path": {"type": "string"}}})
    for name in ("read_file", "glob")
)
MODELS = {"chat": "gpt-4.1", "responses": "gpt-5.4", "messages": "claude-sonnet-5-5"}
APIS = tuple(MODELS)

PATIENT = Account()
QUICK = Account(first_byte_seconds=1.5, idle_seconds=1.2, total_seconds=30.0)


async def no_blob(ref: BlobRef) -> bytes:
    raise NotFound(f"there is no {ref.sha256}")


def provider(api: str, vendors: FakeVendors, http: Http, times: Account = PATIENT) -> LLMProvider:
    """A provider that speaks `api` with the fake services, and waits as `times` say."""
    if api == "messages":
        return AnthropicProvider(structs.replace(times, api_key="key", base_url=vendors.url), http, no_blob)
    account = OpenAIAccount(
        api_key="key",
        base_url=vendors.openai_url,
        api="responses" if api == "responses" else "chat",
        first_byte_seconds=times.first_byte_seconds,
        idle_seconds=times.idle_seconds,
        total_seconds=times.total_seconds,
    )
    return OpenAIProvider(account, http, no_blob)


@asynccontextmanager
async def service(
    api: str, *script: Turn, times: Account = PATIENT, time_scale: float = 1.0
) -> AsyncIterator[tuple[LLMProvider, FakeVendors]]:
    """A provider and the services behind it."""
    http = Http()
    async with FakeVendors(script, time_scale=time_scale) as vendors:
        try:
            yield provider(api, vendors, http, times), vendors
        finally:
            await http.close()


def request(api: str, messages: Sequence[Message] = ()) -> Request:
    """A request as the agent loop makes it."""
    return Request(
        model=MODELS[api],
        system="You are a test.",
        messages=tuple(messages) or (user("Begin."),),
        tools=TOOLS,
        max_output_tokens=2_000,
        cache_key="ses_1",
    )


async def answer(asked: LLMProvider, wanted: Request) -> tuple[list[Delta], Reply]:
    """The deltas before the reply, and the reply."""
    deltas = [delta async for delta in asked.stream(wanted)]
    last = deltas.pop()
    assert isinstance(last, Replied)
    return deltas, last.reply
