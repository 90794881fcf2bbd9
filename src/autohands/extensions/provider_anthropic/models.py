"""What is known of Anthropic's models.

Prices are those of the 5-minute cache and of prompts below the vendor's long-prompt threshold; where there is one, the
context window ends there, because a longer prompt would cost five times as much. Source: platform.claude.com/docs.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from autohands.protocols.provider import ModelInfo
from autohands.sdk.account import nearest_model

DEFAULT_MODEL = "claude-sonnet-5-5"
PRICED = "2026-10-24"

ThinkingMode: TypeAlias = Literal["always", "on", "off", "budget", "none"]

# How a model thinks: always; adaptively, by default on or off; with a budget of tokens; not at all.
_THINKING: dict[str, ThinkingMode] = {
    "claude-opus-5-5": "always",
    "claude-fable": "always",
    "claude-mythos": "always",
    "claude-opus-4-6": "off",
    "claude-opus-4-7": "off",
    "claude-opus-4-8": "off",
    "claude-sonnet-4-6": "off",
    "claude-opus-4": "budget",
    "claude-sonnet-4": "budget",
    "claude-haiku-4": "budget",
    "claude-3-7": "budget",
    "claude-3": "none",
    "claude-opus-5": "on",
    "claude-sonnet-5": "on",
    "claude-haiku-5": "on",
    "claude-": "off",
}


def _model(name: str, context: int, output: int, *prices: float) -> ModelInfo:
    """Prices are dollars per million tokens: input, output, cache read, cache write."""
    micro = [round(price * 1_000_000) for price in prices] + [None] * (4 - len(prices))
    return ModelInfo(
        name=name,
        context_tokens=context,
        output_tokens=output,
        input_price=micro[0],
        output_price=micro[1],
        cache_read_price=micro[2],
        cache_write_price=micro[3],
        priced=PRICED if prices else None,
    )


MODELS = {
    info.name: info
    for info in (
        _model("claude-fable-5-1", 1_000_000, 128_000, 10, 50, 1, 12.5),
        _model("claude-opus-5-5", 1_000_000, 128_000, 4, 20, 0.2, 5),
        _model("claude-opus-5", 1_000_000, 128_000, 5, 25, 0.5, 6.25),
        _model("claude-sonnet-5-5", 1_000_000, 128_000, 2, 10, 0.1, 2.5),
        _model("claude-sonnet-5", 1_000_000, 128_000, 2, 10, 0.2, 2.5),
        _model("claude-haiku-5-5", 100_000, 64_000, 0.1, 0.5, 0.01, 0.125),
        _model("claude-opus-4-8", 200_000, 128_000, 5, 25, 0.5, 6.25),
        _model("claude-opus-4-7", 200_000, 128_000, 5, 25, 0.5, 6.25),
        _model("claude-opus-4-6", 200_000, 128_000, 5, 25, 0.5, 6.25),
        _model("claude-opus-4-5", 200_000, 64_000, 5, 25, 0.5, 6.25),
        _model("claude-opus-4", 200_000, 32_000, 15, 75, 1.5, 18.75),
        _model("claude-sonnet-4", 200_000, 64_000, 3, 15, 0.3, 3.75),
        _model("claude-3-7-sonnet", 200_000, 64_000, 3, 15, 0.3, 3.75),
        _model("claude-haiku-4-5", 200_000, 64_000, 1, 5, 0.1, 1.25),
        _model("claude-3-5-haiku", 200_000, 8_192, 0.8, 4, 0.08, 1),
        _model("claude-", 200_000, 8_192),
    )
}


def describe(model: str) -> ModelInfo:
    """What is known of a model; conservative limits and no prices for an unknown one."""
    return nearest_model(MODELS, model) or ModelInfo(name=model)


def thinking_mode(model: str) -> ThinkingMode:
    """How a model is asked to think; one of another family is not asked."""
    prefix = max((name for name in _THINKING if model.startswith(name)), key=len, default=None)
    return "none" if prefix is None else _THINKING[prefix]
