"""What is configured for OpenAI and for the services that speak like it, and in what they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct, field, structs

from autohands.protocols.provider import ModelInfo
from autohands.sdk.account import Account

OPENAI_URL = "https://api.openai.com/v1"


class OpenAIAccount(Account, frozen=True, kw_only=True):
    """`api` picks the protocol; `auto` is Responses for OpenAI's own reasoning models, else Chat Completions.

    `preset` names the service whose peculiarities count (openrouter, deepseek, groq, mistral, xai, together, azure);
    without it the provider's name and the host of `base_url` tell.
    """

    api: Literal["auto", "chat", "responses"] = "auto"
    preset: str | None = None


class OpenAIConfig(OpenAIAccount, frozen=True, kw_only=True):
    """OpenAI's own account, and further services by the name under which their models are used (`NAME/model`)."""

    named: dict[str, OpenAIAccount] = field(default_factory=dict)


class Quirks(Struct, frozen=True, kw_only=True):
    """In what a service differs from OpenAI: facts, so that no service needs code of its own.

    `models` is its own table of models, `default_model` the one meant where none is named. `thinking_switch` says that
    reasoning is turned on and off by `thinking.type`, `effort_models` (prefixes) which models take an effort then.
    `chains` are answers kept at the service, which the next request continues. `printed_calls` looks for tool calls in
    the text.
    """

    base_url: str | None = None
    default_model: str | None = None
    models: Mapping[str, ModelInfo] | None = None
    responses: bool = False
    key_header: Literal["Authorization", "api-key"] = "Authorization"
    max_tokens: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    usage_option: bool = True
    cache_key: bool = False
    effort: bool = True
    thinking_switch: bool = False
    effort_models: tuple[str, ...] = ()
    chains: bool = False
    printed_calls: bool = False
    returns_reasoning: Literal["reasoning_content", "reasoning"] | None = None


OPENAI = Quirks(base_url=OPENAI_URL, responses=True, max_tokens="max_completion_tokens", cache_key=True)
COMPATIBLE = Quirks()
PRESETS = {
    "openai": OPENAI,
    "openrouter": Quirks(base_url="https://openrouter.ai/api/v1", returns_reasoning="reasoning"),
    "deepseek": Quirks(base_url="https://api.deepseek.com/v1", effort=False, returns_reasoning="reasoning_content"),
    "groq": Quirks(base_url="https://api.groq.com/openai/v1", max_tokens="max_completion_tokens"),
    "mistral": Quirks(base_url="https://api.mistral.ai/v1", usage_option=False, effort=False),
    "xai": Quirks(base_url="https://api.x.ai/v1"),
    "together": Quirks(base_url="https://api.together.xyz/v1"),
    "azure": Quirks(responses=True, key_header="api-key", max_tokens="max_completion_tokens", cache_key=True),
}
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


def find_quirks(account: OpenAIAccount, name: str) -> Quirks:
    """The peculiarities of the service behind an account: by its preset, its URL's host, or the provider's name."""
    if account.preset is not None:
        return PRESETS.get(account.preset, COMPATIBLE)
    if account.base_url is None:
        return PRESETS.get(name, COMPATIBLE)
    host = urlsplit(account.base_url).hostname or ""
    if host.endswith(_AZURE_HOSTS):
        return PRESETS["azure"]
    for quirks in PRESETS.values():
        if quirks.base_url is not None and urlsplit(quirks.base_url).hostname == host:
            return quirks
    return structs.replace(OPENAI, base_url=None, responses=False) if name == "openai" else COMPATIBLE


def find_base_url(account: OpenAIAccount, quirks: Quirks) -> str:
    """The URL before `/chat/completions`, which everybody writes a little differently; a bare host gets `/v1`."""
    url = (account.base_url or quirks.base_url or OPENAI_URL).strip().rstrip("/")
    for ending in ("/chat/completions", "/responses"):
        url = url.removesuffix(ending)
    return url if urlsplit(url).path.strip("/") else f"{url}/v1"
