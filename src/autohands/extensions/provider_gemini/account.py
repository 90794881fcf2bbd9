"""What is configured for Gemini and for the services that speak its protocol."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from msgspec import field

from autohands.sdk.account import Account

GEMINI_URL = "https://generativelanguage.googleapis.com/v1beta"


class GeminiConfig(Account, frozen=True, kw_only=True):
    """Google's own account, and further services by the name under which their models are used (`NAME/model`)."""

    named: dict[str, Account] = field(default_factory=dict)


def find_base_url(account: Account) -> str:
    """The URL before `/models`, which some write with its version and some without."""
    url = (account.base_url or GEMINI_URL).strip().rstrip("/").removesuffix("/models")
    return url if urlsplit(url).path.strip("/") else f"{url}/v1beta"


def model_path(model: str) -> str:
    """A model's place below the base URL: `models/NAME`, or as it is where it names its collection."""
    return quote(model if "/" in model else f"models/{model}", safe="/")
