"""What is configured for a server of one's own, and where it is."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from autohands.sdk.account import Account

OLLAMA_URL = "http://127.0.0.1:11434"

_ENDINGS = ("/chat/completions", "/models", "/v1", "/api/chat", "/api/tags", "/api")


class LocalAccount(Account, frozen=True, kw_only=True):
    """`api` is what the server speaks; `auto` asks it.

    `context_tokens` is the window that Ollama is to open; without it, what the model's own settings say, or 32,768, and
    never more than the model can. `printed_calls` also takes tool calls that the model prints as text.
    """

    api: Literal["auto", "ollama", "openai"] = "auto"
    context_tokens: int | None = None
    printed_calls: bool = True


class LocalConfig(LocalAccount, frozen=True, kw_only=True):
    """The server on this machine, and further ones by the name under which their models are used (`NAME/model`)."""

    named: dict[str, LocalAccount] = field(default_factory=dict)


def find_root(account: LocalAccount) -> str:
    """The server's address without the path of any of its APIs; a bare `host:port` means plain HTTP."""
    url = (account.base_url or OLLAMA_URL).strip().rstrip("/")
    scheme, _, rest = url.rpartition("://")
    host, slash, path = rest.partition("/")
    path = slash + path
    for ending in _ENDINGS:
        path = path.removesuffix(ending)
    return f"{scheme or 'http'}://{host}{path}"
