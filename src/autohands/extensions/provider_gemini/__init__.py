"""Google's Gemini models, by the Gemini API."""

from __future__ import annotations

from collections.abc import AsyncIterator

from autohands.extensions.provider_gemini.account import GeminiConfig
from autohands.sdk import Extension, Host

extension = Extension(
    name="provider-gemini",
    version="1.0.0",
    summary="Google's Gemini models, and any service that speaks the Gemini API.",
    config=GeminiConfig,
    permissions=("network",),
)


@extension.setup
async def run(host: Host, config: GeminiConfig) -> AsyncIterator[None]:
    """Offer `gemini`, and each service named in the configuration."""
    from autohands.extensions.provider_gemini.provider import GeminiProvider
    from autohands.sdk.account import complete

    for name, account in {"gemini": config, **config.named}.items():
        full = complete(account, name, host.secrets)
        host.add_provider(GeminiProvider(full, host.http, host.blobs.get, name=name))
    yield
