"""A Gemini provider and the fake service behind it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import structs

from autohands.extensions.provider_gemini.provider import GeminiProvider
from autohands.protocols.messages import Message, user
from autohands.protocols.provider import Request
from autohands.sdk.account import Account
from autohands.sdk.http import Http
from autohands.testing.script import Turn
from autohands.testing.vendors import FakeVendors
from extensions.model_services import PATIENT, TOOLS, no_blob


@asynccontextmanager
async def gemini(
    *script: Turn, times: Account = PATIENT, time_scale: float = 1.0
) -> AsyncIterator[tuple[GeminiProvider, FakeVendors]]:
    """A provider and the service behind it."""
    http = Http()
    async with FakeVendors(script, time_scale=time_scale) as vendors:
        account = structs.replace(times, api_key="key", base_url=vendors.gemini_url)
        try:
            yield GeminiProvider(account, http, no_blob), vendors
        finally:
            await http.close()


def request(messages: Sequence[Message] = (), model: str = "gemini-3.8-flash") -> Request:
    """A request as the agent loop makes it."""
    return Request(
        model=model,
        system="You are a test.",
        messages=tuple(messages) or (user("Begin."),),
        tools=TOOLS,
        max_output_tokens=2_000,
        cache_key="ses_1",
    )
