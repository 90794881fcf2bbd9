"""What is known of Anthropic's models.

Prices are those of the 5-minute cache and of prompts below the vendor's long-prompt threshold; where there is one, the
context window ends there, because a longer prompt would cost five times as much. Source: platform.claude.com/docs.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from autohands.protocols.provider import ModelInfo
from autohands.sdk.account import model_row, nearest_model

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


MODELS = {
    info.name: info
    for info in (
        model_row("claude-fable-5-1", 1_000_000, 128_000, 10, 50, 1, 12.5, priced=PRICED),
        model_row("claude-opus-5-5", 1_000_000, 128_000, 4, 20, 0.2, 5, priced=PRICED),
        model_row("claude-opus-5", 1_000_000, 128_000, 5, 25, 0.5, 6.25, priced=PRICED),
        model_row("claude-sonnet-5-5", 1_000_000, 128_000, 2, 10, 0.1, 2.5, priced=PRICED),
        model_row("claude-sonnet-5", 1_000_000, 128_000, 2, 10, 0.2, 2.5, priced=PRICED),
        model_row("claude-haiku-5-5", 100_000, 64_000, 0.1, 0.5, 0.01, 0.125, priced=PRICED),
        model_row("claude-opus-4-8", 200_000, 128_000, 5, 25, 0.5, 6.25, priced=PRICED),
        model_row("claude-opus-4-7", 200_000, 128_000, 5, 25, 0.5, 6.25, priced=PRICED),
        model_row("claude-opus-4-6", 200_000, 128_000, 5, 25, 0.5, 6.25, priced=PRICED),
        model_row("claude-opus-4-5", 200_000, 64_000, 5, 25, 0.5, 6.25, priced=PRICED),
        model_row("claude-opus-4", 200_000, 32_000, 15, 75, 1.5, 18.75, priced=PRICED),
        model_row("claude-sonnet-4", 200_000, 64_000, 3, 15, 0.3, 3.75, priced=PRICED),
        model_row("claude-3-7-sonnet", 200_000, 64_000, 3, 15, 0.3, 3.75, priced=PRICED),
        model_row("claude-haiku-4-5", 200_000, 64_000, 1, 5, 0.1, 1.25, priced=PRICED),
        model_row("claude-3-5-haiku", 200_000, 8_192, 0.8, 4, 0.08, 1, priced=PRICED),
        model_row("claude-", 200_000, 8_192, priced=PRICED),
    )
}


def describe(model: str) -> ModelInfo:
    """What is known of a model; conservative limits and no prices for an unknown one."""
    return nearest_model(MODELS, model) or ModelInfo(name=model)


def thinking_mode(model: str) -> ThinkingMode:
    """How a model is asked to think; one of another family is not asked."""
    prefix = max((name for name in _THINKING if model.startswith(name)), key=len, default=None)
    return "none" if prefix is None else _THINKING[prefix]
