"""Ark against a fake service on loopback, for its tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from autohands.extensions.provider_ark.account import ArkAccount, find_quirks
from autohands.extensions.provider_openai.provider import OpenAIProvider
from autohands.sdk.http import Http
from autohands.testing.script import Turn
from autohands.testing.vendors import FakeVendors
from extensions.model_services import no_blob


@asynccontextmanager
async def ark(*script: Turn, **account: Any) -> AsyncIterator[tuple[OpenAIProvider, FakeVendors]]:
    """A provider as the extension makes it, and the service behind it."""
    http = Http()
    async with FakeVendors(script) as vendors:
        given = ArkAccount(api_key="key", base_url=vendors.ark_url, **account)
        try:
            yield OpenAIProvider(given, http, no_blob, name="ark", quirks=find_quirks(given)), vendors
        finally:
            await http.close()
