"""OpenAI and the services that speak its protocols: Chat Completions and Responses."""

from __future__ import annotations

from collections.abc import AsyncIterator

from autohands.extensions.provider_openai.account import OpenAIConfig
from autohands.sdk import Extension, Host

extension = Extension(
    name="provider-openai",
    version="1.0.0",
    summary="OpenAI's models, and any service that speaks Chat Completions or Responses.",
    config=OpenAIConfig,
    permissions=("network",),
)


@extension.setup
async def run(host: Host, config: OpenAIConfig) -> AsyncIterator[None]:
    """Offer `openai`, and each service named in the configuration."""
    from autohands.extensions.provider_openai.provider import OpenAIProvider
    from autohands.sdk.account import complete

    for name, account in {"openai": config, **config.named}.items():
        full = complete(account, name, host.secrets)
        host.add_provider(OpenAIProvider(full, host.http, host.blobs.get, name=name))
    yield
