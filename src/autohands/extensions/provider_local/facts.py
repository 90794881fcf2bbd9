"""What servers tell of themselves and of their models, read from their listings. Pure.

Sources: docs.ollama.com/api (tags, show); vLLM's `max_model_len`; llama.cpp's `/props`; LM Studio's `/api/v0/models`.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from autohands.protocols.provider import ModelInfo

CONTEXT_TOKENS = 32_768
OUTPUT_TOKENS = 16_384


class Server(Struct, frozen=True):
    """What a server speaks, and its models, each with its window in tokens where the listing tells."""

    speaks: Literal["ollama", "openai"]
    models: dict[str, int | None]

    @property
    def first_model(self) -> str | None:
        """The first that can talk; one that only embeds cannot."""
        return next((name for name in self.models if "embed" not in name.lower()), None)


class Facts(Struct, frozen=True, kw_only=True):
    """A model on Ollama: the window that is opened for it, and what it can; None is not known."""

    window: int = CONTEXT_TOKENS
    tools: bool | None = None
    thinks: bool | None = None
    thinks_by_level: bool = False


def read_tags(found: Any) -> Server | None:
    """Ollama's `/api/tags`. llama.cpp answers there too, but with OpenAI's list beside it, and speaks no Ollama."""
    rows = found.get("models") if isinstance(found, dict) and "data" not in found else None
    if not isinstance(rows, list):
        return None
    names = [row.get("model") or row.get("name") for row in rows if isinstance(row, dict)]
    return Server("ollama", {name: None for name in names if isinstance(name, str)})


def read_models(found: Any) -> Server | None:
    """A list of OpenAI's kind, with the windows that vLLM and LM Studio put into it."""
    rows = found.get("data") if isinstance(found, dict) else None
    if not isinstance(rows, list):
        return None
    named = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
    return Server("openai", {row["id"]: _row_window(row) for row in named})


def read_props(found: Any) -> int | None:
    """The window of the model that llama.cpp has loaded."""
    settings = found.get("default_generation_settings") if isinstance(found, dict) else None
    return _positive(settings.get("n_ctx")) if isinstance(settings, dict) else None


def read_show(found: Any, wanted: int | None) -> Facts:
    """Ollama's `/api/show`. `wanted` is the configured window; it is never larger than the model's own."""
    found = found if isinstance(found, dict) else {}
    info = found.get("model_info") or {}
    largest = next((_positive(value) for key, value in info.items() if key.endswith(".context_length")), None)
    window = wanted or _parameter(found.get("parameters"), "num_ctx") or CONTEXT_TOKENS
    able = found.get("capabilities")
    known = isinstance(able, list)
    return Facts(
        window=min(window, largest or window),
        tools="tools" in able if known else None,
        thinks="thinking" in able if known else None,
        thinks_by_level="gptoss" in str((found.get("details") or {}).get("family")).replace("-", ""),
    )


def to_info(model: str, window: int | None) -> ModelInfo:
    """A model that costs nothing, with the window that is known or a conservative one."""
    context = window or CONTEXT_TOKENS
    return ModelInfo(
        name=model,
        context_tokens=context,
        output_tokens=min(max(context // 4, 1), OUTPUT_TOKENS),
        input_price=0,
        output_price=0,
        cache_read_price=0,
        cache_write_price=0,
    )


def _row_window(row: dict[str, Any]) -> int | None:
    keys = ("max_model_len", "loaded_context_length", "context_length", "max_context_length")
    return next(filter(None, (_positive(row.get(key)) for key in keys)), None)


def _parameter(text: Any, name: str) -> int | None:
    """A number from the lines of a Modelfile's parameters."""
    for line in str(text or "").splitlines():
        key, _, value = line.strip().partition(" ")
        if key == name and value.strip().isdecimal():
            return _positive(int(value))
    return None


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
