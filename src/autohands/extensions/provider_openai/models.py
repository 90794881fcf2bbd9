"""What is known of OpenAI's models.

Prices are those of prompts below the vendor's long-prompt threshold, and the context window ends there: a longer prompt
would cost twice as much, and a budget must not learn that afterwards. Source: developers.openai.com/api/docs/pricing.
"""

from __future__ import annotations

from autohands.protocols.provider import ModelInfo
from autohands.sdk.account import model_row, nearest_model

DEFAULT_MODEL = "gpt-6.1-sol"
PRICED = "2026-11-05"
STANDARD_WINDOW = 272_000

_REASONING = ("gpt-5", "gpt-6", "o1", "o3", "o4", "codex")


MODELS = {
    info.name: info
    for info in (
        model_row("gpt-6.1-sol", STANDARD_WINDOW, 128_000, 2, 10, 0.1, 2.5, priced=PRICED),
        model_row("gpt-6.1-terra", STANDARD_WINDOW, 128_000, 1, 5, 0.05, 1.25, priced=PRICED),
        model_row("gpt-6-astra", STANDARD_WINDOW, 128_000, 10, 50, 1, 12.5, priced=PRICED),
        model_row("gpt-6-sol", STANDARD_WINDOW, 128_000, 2, 10, 0.2, 2.5, priced=PRICED),
        model_row("gpt-6-luna", STANDARD_WINDOW, 128_000, 0.1, 0.5, 0.01, 0.125, priced=PRICED),
        model_row("gpt-5.6-sol", STANDARD_WINDOW, 128_000, 4, 20, 0.4, 5, priced=PRICED),
        model_row("gpt-5.6-terra", STANDARD_WINDOW, 128_000, 2, 12, 0.2, 2.5, priced=PRICED),
        model_row("gpt-5.6-luna", STANDARD_WINDOW, 128_000, 0.2, 1.2, 0.02, 0.25, priced=PRICED),
        model_row("gpt-5.5-pro", STANDARD_WINDOW, 128_000, 30, 180, 30, priced=PRICED),
        model_row("gpt-5.5", STANDARD_WINDOW, 128_000, 5, 30, 0.5, priced=PRICED),
        model_row("gpt-5.4-pro", STANDARD_WINDOW, 128_000, 30, 180, 30, priced=PRICED),
        model_row("gpt-5.4-mini", STANDARD_WINDOW, 128_000, 0.75, 4.5, 0.075, priced=PRICED),
        model_row("gpt-5.4", STANDARD_WINDOW, 128_000, 2.5, 15, 0.25, priced=PRICED),
        model_row("gpt-5.2-pro", STANDARD_WINDOW, 128_000, 21, 168, 21, priced=PRICED),
        model_row("gpt-5.2", STANDARD_WINDOW, 128_000, 1.75, 14, 0.175, priced=PRICED),
        model_row("gpt-5-mini", STANDARD_WINDOW, 128_000, 0.25, 2, 0.025, priced=PRICED),
        model_row("gpt-5-nano", STANDARD_WINDOW, 128_000, 0.05, 0.4, 0.005, priced=PRICED),
        model_row("gpt-5.1", STANDARD_WINDOW, 128_000, 1.25, 10, 0.125, priced=PRICED),
        model_row("gpt-5", STANDARD_WINDOW, 128_000, priced=PRICED),
        model_row("gpt-5-2025", STANDARD_WINDOW, 128_000, 1.25, 10, 0.125, priced=PRICED),
        model_row("gpt-4.1-mini", 1_000_000, 32_768, 0.4, 1.6, 0.1, priced=PRICED),
        model_row("gpt-4.1-nano", 1_000_000, 32_768, 0.1, 0.4, 0.025, priced=PRICED),
        model_row("gpt-4.1", 1_000_000, 32_768, 2, 8, 0.5, priced=PRICED),
        model_row("gpt-4o-mini", 128_000, 16_384, 0.15, 0.6, 0.075, priced=PRICED),
        model_row("gpt-4o", 128_000, 16_384, 2.5, 10, 1.25, priced=PRICED),
        model_row("o3", 200_000, 100_000, priced=PRICED),
        model_row("o4-mini", 200_000, 100_000, 1.1, 4.4, 0.275, priced=PRICED),
        model_row("gpt-", 128_000, 16_384, priced=PRICED),
    )
}


def describe(model: str) -> ModelInfo:
    """What is known of a model; conservative limits and no prices for an unknown one."""
    return nearest_model(MODELS, model) or ModelInfo(name=model)


def reasons(model: str) -> bool:
    """Whether a model reasons before it answers, and so belongs to the Responses API."""
    return model.startswith(_REASONING)
