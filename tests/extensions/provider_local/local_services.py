"""Local providers against fake servers on loopback, for their tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from autohands.extensions.provider_local.account import LocalAccount
from autohands.extensions.provider_local.provider import LocalProvider
from autohands.sdk.http import Http
from autohands.testing.script import Turn
from autohands.testing.vendors import FakeVendors
from extensions.model_services import no_blob


@asynccontextmanager
async def local(
    *script: Turn, speaks: str = "ollama", time_scale: float = 1.0, **account: Any
) -> AsyncIterator[tuple[LocalProvider, FakeVendors]]:
    """A provider before a fake Ollama, or before the same as a server that speaks like OpenAI."""
    http = Http()
    async with FakeVendors(script, time_scale=time_scale, needs_key=False) as vendors:
        url = vendors.ollama_url if speaks == "ollama" else vendors.url
        try:
            yield LocalProvider(LocalAccount(base_url=url, **account), http, no_blob), vendors
        finally:
            await http.close()
