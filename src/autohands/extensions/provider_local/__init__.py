"""Models on this machine: Ollama, and servers that speak like OpenAI (vLLM, llama.cpp, LM Studio)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from autohands.extensions.provider_local.account import LocalConfig
from autohands.sdk import Extension, Host

extension = Extension(
    name="provider-local",
    version="1.0.0",
    summary="Models on this machine: Ollama, vLLM, llama.cpp, LM Studio.",
    config=LocalConfig,
    requires=("provider-openai>=1",),
    permissions=("network",),
)


@extension.setup
async def run(host: Host, config: LocalConfig) -> AsyncIterator[None]:
    """Offer `local`, and each further server named in the configuration."""
    from autohands.extensions.provider_local.provider import LocalProvider
    from autohands.sdk.account import complete

    for name, account in {"local": config, **config.named}.items():
        full = complete(account, name, host.secrets)
        host.add_provider(LocalProvider(full, host.http, host.blobs.get, name=name))
    yield
