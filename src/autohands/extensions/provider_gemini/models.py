"""What is known of Gemini's models.

Prices are those of prompts below the vendor's long-prompt threshold, and the context window ends there: a longer prompt
would cost twice as much, and a budget must not learn that afterwards. For the same reason a price that is halved for a
while stands here in full. Source: ai.google.dev/gemini-api/docs/pricing, /models, /thinking.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from autohands.protocols.provider import ModelInfo
from autohands.sdk.account import model_row, nearest_model

DEFAULT_MODEL = "gemini-3.8-flash"
PRICED = "2026-10-07"
WINDOW = 1_048_576
CHEAP_WINDOW = 200_000
OUTPUT = 65_536

Level: TypeAlias = Literal["off", "low", "medium", "high"]


class Thinking(Struct, frozen=True):
    """How a model is asked to think: by levels, with a budget of tokens, or not at all; `least` is what stands for off.

    `unasked` says whether it thinks without being asked to.
    """

    by: Literal["levels", "budget", "nothing"]
    least: str | int = "low"
    unasked: bool = True


BUDGETS: dict[Level, int] = {"low": 2_048, "medium": 8_192, "high": 24_576}

_EARLIER = ("gemini-1", "gemini-2", "gemma", "learnlm")
_NOT_AT_ALL = Thinking("nothing")
_THINKING = {
    "gemini-": Thinking("levels"),
    "gemini-3-flash": Thinking("levels", "minimal"),
    "gemini-3.1-flash-lite": Thinking("levels", "minimal"),
    "gemini-3.5-flash": Thinking("levels", "minimal"),
    "gemini-2.5-pro": Thinking("budget", 128),
    "gemini-2.5-flash": Thinking("budget", 0),
    "gemini-2.5-flash-lite": Thinking("budget", 0, unasked=False),
    "gemini-2": _NOT_AT_ALL,
    "gemini-1": _NOT_AT_ALL,
}

MODELS = {
    info.name: info
    for info in (
        model_row("gemini-3.8-flash", WINDOW, OUTPUT, 1.5, 7.5, 0.15, priced=PRICED),
        model_row("gemini-3.7-flash", WINDOW, OUTPUT, priced=PRICED),
        model_row("gemini-3.6-flash", WINDOW, OUTPUT, priced=PRICED),
        model_row("gemini-3.5-flash-lite", WINDOW, OUTPUT, 0.3, 2.5, priced=PRICED),
        model_row("gemini-3.5-flash", WINDOW, OUTPUT, 1.5, 9, 0.15, priced=PRICED),
        model_row("gemini-3.1-pro", CHEAP_WINDOW, OUTPUT, 2, 12, 0.2, priced=PRICED),
        model_row("gemini-3.1-flash-lite", WINDOW, OUTPUT, 0.25, 1.5, 0.025, priced=PRICED),
        model_row("gemini-3-flash", WINDOW, OUTPUT, 0.5, 3, 0.05, priced=PRICED),
        model_row("gemini-2.5-pro", CHEAP_WINDOW, OUTPUT, 1.25, 10, 0.125, priced=PRICED),
        model_row("gemini-2.5-flash-lite", WINDOW, OUTPUT, 0.1, 0.4, 0.01, priced=PRICED),
        model_row("gemini-2.5-flash", WINDOW, OUTPUT, 0.3, 2.5, 0.03, priced=PRICED),
        model_row("gemini-", CHEAP_WINDOW, 8_192, priced=PRICED),
    )
}


def describe(model: str) -> ModelInfo:
    """What is known of a model; conservative limits and no prices for an unknown one."""
    return nearest_model(MODELS, model.removeprefix("models/")) or ModelInfo(name=model)


def is_known(model: str) -> bool:
    """Whether the table has this very model, or a version of it."""
    return any(name != "gemini-" and model.startswith(name) for name in MODELS)


def thinking_of(model: str) -> Thinking:
    """How a model is asked to think; one of another family is not asked."""
    prefix = max((name for name in _THINKING if model.startswith(name)), key=len, default=None)
    return _NOT_AT_ALL if prefix is None else _THINKING[prefix]


def wants_signatures(model: str) -> bool:
    """Whether a model is of the third generation or later.

    These refuse a turn whose calls come back unsigned, and take a tool's pictures within its result.
    """
    return not model.removeprefix("models/").startswith(_EARLIER)
