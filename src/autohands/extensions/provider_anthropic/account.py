"""What is configured for Anthropic and for the services that speak its protocol."""

from __future__ import annotations

from msgspec import field

from autohands.sdk.account import Account

ANTHROPIC_URL = "https://api.anthropic.com"


class AnthropicConfig(Account, frozen=True, kw_only=True):
    """Anthropic's own account, and further services by the name under which their models are used (`NAME/model`)."""

    named: dict[str, Account] = field(default_factory=dict)


def find_base_url(account: Account) -> str:
    """The URL before `/v1/messages`, which some write with its `/v1` and some without."""
    url = (account.base_url or ANTHROPIC_URL).rstrip("/")
    return url.removesuffix("/messages").removesuffix("/v1")
