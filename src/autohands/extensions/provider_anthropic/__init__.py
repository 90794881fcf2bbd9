"""Anthropic's models, by the Messages API."""

from __future__ import annotations

from collections.abc import AsyncIterator

from autohands.extensions.provider_anthropic.account import AnthropicConfig
from autohands.sdk import Extension, Host

extension = Extension(
    name="provider-anthropic",
    version="1.0.0",
    summary="Anthropic's models, and any service that speaks the Messages API.",
    config=AnthropicConfig,
    permissions=("network",),
)


@extension.setup
async def run(host: Host, config: AnthropicConfig) -> AsyncIterator[None]:
    """Offer `anthropic`, and each service named in the configuration."""
    from autohands.extensions.provider_anthropic.provider import AnthropicProvider
    from autohands.sdk.account import complete

    for name, account in {"anthropic": config, **config.named}.items():
        full = complete(account, name, host.secrets)
        host.add_provider(AnthropicProvider(full, host.http, host.blobs.get, name=name))
    yield
