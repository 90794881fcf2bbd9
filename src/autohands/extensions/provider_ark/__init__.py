"""Volcengine Ark: Doubao's models and others', by Chat Completions or Responses, as a preset over `provider_openai`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from autohands.extensions.provider_ark.account import ArkConfig
from autohands.sdk import Extension, Host

extension = Extension(
    name="provider-ark",
    version="1.0.0",
    summary="Doubao's models and others on Volcengine Ark.",
    config=ArkConfig,
    requires=("provider-openai>=1",),
    permissions=("network",),
)


@extension.setup
async def run(host: Host, config: ArkConfig) -> AsyncIterator[None]:
    """Offer `ark`, and each further account named in the configuration."""
    from autohands.extensions.provider_ark.account import find_quirks
    from autohands.extensions.provider_openai.provider import OpenAIProvider
    from autohands.sdk.account import complete

    for name, account in {"ark": config, **config.named}.items():
        full = complete(account, name, host.secrets)
        quirks = find_quirks(full)
        host.add_provider(OpenAIProvider(full, host.http, host.blobs.get, name=name, quirks=quirks))
    yield
