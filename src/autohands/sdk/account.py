"""An account at a model service, as the configuration and the environment give it."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct, structs

from autohands.protocols.context import Secrets
from autohands.protocols.errors import ProviderError
from autohands.protocols.provider import ModelInfo
from autohands.sdk.deadline import Deadlines


class Account(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`api_key` and `base_url` come from `NAME_API_KEY` and `NAME_BASE_URL` where they are not set.

    `model` is the one meant where none is named. An answer may take `first_byte_seconds` to begin, be silent for
    `idle_seconds`, and take `total_seconds` as a whole; keep-alives count as silence.
    """

    api_key: str | None = None
    base_url: str | None = None
    model: str | None = None
    first_byte_seconds: float = 300.0
    idle_seconds: float = 180.0
    total_seconds: float = 3600.0

    @property
    def usable(self) -> bool:
        """Whether a key or an endpoint is configured."""
        return self.api_key is not None or self.base_url is not None

    @property
    def deadlines(self) -> Deadlines:
        """The three times as the HTTP side takes them."""
        return Deadlines(
            first_byte_seconds=self.first_byte_seconds,
            idle_seconds=self.idle_seconds,
            total_seconds=self.total_seconds,
        )


def key_name(provider: str) -> str:
    """The environment variable that holds a provider's key: `my-proxy` → `MY_PROXY_API_KEY`."""
    return f"{provider.upper().replace('-', '_').replace('.', '_')}_API_KEY"


A = TypeVar("A", bound=Account)


def complete(account: A, provider: str, secrets: Secrets) -> A:
    """The account with what the environment adds; empty values count as none."""
    key = key_name(provider)
    return structs.replace(
        account,
        api_key=(account.api_key or secrets.get(key) or "").strip() or None,
        base_url=(account.base_url or secrets.get(f"{key.removesuffix('_API_KEY')}_BASE_URL") or "").strip() or None,
    )


def check_key(provider: str, account: Account) -> None:
    """Refuse to make a call that can only fail.

    Raises:
        ProviderError: Neither a key nor an endpoint of one's own is configured, or the key fits into no header.
    """
    name = key_name(provider)
    if not account.usable:
        hint = f"set {name}, or its api_key in the configuration (`autohands config path` says where)"
        raise ProviderError(f"{provider}: there is no API key", kind="auth", hint=hint)
    if account.api_key is not None and not (account.api_key.isascii() and account.api_key.isprintable()):
        raise ProviderError(
            f"{provider}: the API key holds characters that no key has", kind="auth", hint=f"check {name}"
        )


def model_row(name: str, context: int, output: int, *prices: float, priced: str) -> ModelInfo:
    """A row of a table of models, its prices as of the ISO date `priced`.

    `prices` are dollars per million tokens: input, output, cache read, cache write; those left out are unknown.
    """
    micro = [round(price * 1_000_000) for price in prices] + [None] * (4 - len(prices))
    return ModelInfo(
        name=name,
        context_tokens=context,
        output_tokens=output,
        input_price=micro[0],
        output_price=micro[1],
        cache_read_price=micro[2],
        cache_write_price=micro[3],
        priced=priced if prices else None,
    )


def nearest_model(table: dict[str, ModelInfo], model: str) -> ModelInfo | None:
    """The row of the longest prefix of `model`, under the model's own name."""
    prefix = max((name for name in table if model.startswith(name)), key=len, default=None)
    return None if prefix is None else structs.replace(table[prefix], name=model)
