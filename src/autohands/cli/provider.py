"""`autohands provider`: who can be asked, for which models, and whether it answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autohands.cli import options, work
from autohands.cli.fail import DONE
from autohands.cli.listing import show_items, show_one
from autohands.cli.render import dollars
from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Reply, user
from autohands.protocols.provider import LLMProvider, ModelInfo, Replied, Request, TextPiece, ThinkingPiece

if TYPE_CHECKING:
    from autohands.hands import Hands

_NO_KEY = "`autohands provider list` shows what can be asked; set ANTHROPIC_API_KEY or OPENAI_API_KEY"
_WORDS = 64


@click.group("provider")
def command() -> None:
    """Model providers: list, models, test."""


@command.command("list")
@options.everywhere
def show_list(*, json: bool, config: Path | None) -> int:
    """Every provider, whether it has what it needs, and its default model."""
    return work.run(_list(json=json, config=config))


async def _list(*, json: bool, config: Path | None) -> int:
    async with work.looking(config=config, serve=True) as hands:
        items = [
            {
                "name": name,
                "available": provider.available,
                "default_model": provider.default_model,
                "extension": hands.providers.owner(name),
            }
            for name, provider in hands.providers.items()
        ]
    show_items(items, ("name", "available", "default_model", "extension"), json=json, none="no providers")
    return DONE


@command.command("models")
@click.argument("name", required=False)
@options.everywhere
def models(name: str | None, *, json: bool, config: Path | None) -> int:
    """The models of one provider, or of all that can be asked."""
    return work.run(_models(name, json=json, config=config))


async def _models(name: str | None, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config, serve=True) as hands:
        items = [
            {"model": f"{provider.name}/{info.name}", **_facts(info)}
            for provider in _asked(hands, name)
            for info in await provider.models()
        ]
    columns = ("model", "context_tokens", "output_tokens", "input_per_million", "output_per_million")
    show_items(items, columns, json=json, none="no models")
    return DONE


@command.command("test")
@click.argument("name", required=False)
@click.option("--model", metavar="MODEL", help="The provider's own name for it; default: its default model.")
@options.everywhere
def test(name: str | None, *, model: str | None, json: bool, config: Path | None) -> int:
    """Ask one tiny question and show how long the answer took."""
    return work.run(_test(name, model, json=json, config=config))


async def _test(name: str | None, model: str | None, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config, serve=True) as hands:
        providers = _asked(hands, name)
        items = [await _try(provider, model) for provider in (providers if name else providers[:1])]
    for item in items:
        show_one(item, json=json)
    return DONE


async def _try(provider: LLMProvider, model: str | None) -> dict[str, Any]:
    chosen = model or provider.default_model
    if not chosen:
        raise ProviderError(f"{provider.name} has no default model", hint="pass --model MODEL")
    request = Request(
        model=chosen, system="Answer briefly.", messages=(user("Say the word ready."),), max_output_tokens=_WORDS
    )
    began = time.monotonic()
    first: float | None = None
    reply: Reply | None = None
    async for delta in provider.stream(request):
        if first is None and isinstance(delta, TextPiece | ThinkingPiece | Replied):
            first = time.monotonic() - began
        if isinstance(delta, Replied):
            reply = delta.reply
    if reply is None:
        raise ProviderError(f"{provider.name} ended its stream without a reply", kind="broken")
    return {
        "model": f"{provider.name}/{chosen}",
        "answer": reply.message.text,
        "first_token_seconds": round(first or 0.0, 3),
        "seconds": round(time.monotonic() - began, 3),
        "input_tokens": reply.usage.input,
        "output_tokens": reply.usage.output,
    }


def _asked(hands: Hands, name: str | None) -> list[LLMProvider]:
    if name:
        return [hands.providers.get(name)]
    available = [provider for provider in hands.providers.values() if provider.available and provider.default_model]
    if not available:
        raise ProviderError("no provider can be asked", kind="auth", hint=_NO_KEY)
    return available


def _facts(info: ModelInfo) -> dict[str, Any]:
    def price(micro_usd: int | None) -> str | None:
        return None if micro_usd is None else dollars(micro_usd)

    return {
        "context_tokens": info.context_tokens,
        "output_tokens": info.output_tokens,
        "input_per_million": price(info.input_price),
        "output_per_million": price(info.output_price),
        "priced": info.priced,
    }
