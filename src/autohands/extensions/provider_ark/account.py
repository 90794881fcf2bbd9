"""What is configured for Ark, and in what it differs from OpenAI.

Source: volcengine.com/docs/82379 (1494384 Chat, 1569618 Responses, 1602228 context cache, 1299023 error codes).
"""

from __future__ import annotations

from typing import Literal

from msgspec import field, structs

from autohands.extensions.provider_ark.models import DEFAULT_MODEL, EFFORT_MODELS, MODELS
from autohands.extensions.provider_openai.account import OpenAIAccount, Quirks

ARK_URL = "https://ark.cn-beijing.volces.com/api/v3"

ARK = Quirks(
    base_url=ARK_URL,
    default_model=DEFAULT_MODEL,
    models=MODELS,
    max_tokens="max_completion_tokens",
    thinking_switch=True,
    effort_models=EFFORT_MODELS,
    returns_reasoning="reasoning_content",
)


class ArkAccount(OpenAIAccount, frozen=True, kw_only=True):
    """`api` is `auto` (Chat Completions), `chat` or `responses`.

    `cache` is `prefix`, Ark's own cache of equal prefixes, or `session`: with `responses`, Ark keeps each answer for an
    hour and the next request continues it. Kept answers are stored at Ark, and storing them costs.
    """

    cache: Literal["prefix", "session"] = "prefix"


class ArkConfig(ArkAccount, frozen=True, kw_only=True):
    """The account at Ark, and further ones by the name under which their models are used (`NAME/model`)."""

    named: dict[str, ArkAccount] = field(default_factory=dict)


def find_quirks(account: ArkAccount) -> Quirks:
    """Ark's peculiarities, with the cache that the account chose."""
    return structs.replace(ARK, chains=account.cache == "session")
