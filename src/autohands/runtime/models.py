"""`provider/model`: which provider and which model a task means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from msgspec import Struct

from autohands.core.registry import Registry, Snapshot
from autohands.protocols.errors import BadRequest, NotFound, ProviderError
from autohands.protocols.provider import LLMProvider, Recorder
from autohands.runtime.retry import Retry

Wrap: TypeAlias = Callable[[LLMProvider], LLMProvider]
PREFERRED = ("anthropic", "openai", "gemini", "ark")
LOCAL = "local"  # asked last: whether its server answers takes a look
NO_MODEL = "no model: no provider has a key, and none is configured"
NO_MODEL_HINT = (
    "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or start a local server (Ollama), or pass --model provider/model, "
    "or set `model` in config.toml; "
    "`autohands demo` needs none"
)


class ProviderModels:
    """The providers, for those who may call a model."""

    def __init__(self, providers: Registry[LLMProvider] | Snapshot[LLMProvider], wrap: Wrap | None = None) -> None:
        self._providers = providers
        self._wrap = wrap or Retry

    def get(self, name: str) -> LLMProvider:
        """A provider by name, wrapped. Raises `NotFound` with the nearest names."""
        return self._wrap(self._providers.get(name))


def recording(provider: LLMProvider, file: str, providers: Snapshot[LLMProvider]) -> LLMProvider:
    """A provider that also writes what it says to `file`, to be played again.

    Raises:
        NotFound: No provider can record.
    """
    for recorder in providers.values():
        if isinstance(recorder, Recorder):
            return recorder.recording(provider, file)
    raise NotFound("no provider can record", hint="enable the extension provider-replay")


class Choice(Struct, frozen=True):
    """A provider and its own name for the model."""

    provider: LLMProvider
    model: str

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider.name}/{self.model}"


def choose_model(names: Iterable[str | None], providers: Snapshot[LLMProvider]) -> Choice:
    """The first of `names` that is set, else the default of the first provider that can be asked.

    Raises:
        BadRequest: The name is not `provider/model`. NotFound: No such provider. ProviderError: No model at all.
    """
    for name in names:
        if name:
            return _named(name, providers)
    others = sorted(set(providers) - {*PREFERRED, LOCAL})
    for known in (*PREFERRED, *others, LOCAL):
        if known in providers and (provider := providers.get(known)).available and provider.default_model:
            return Choice(provider, provider.default_model)
    raise ProviderError(NO_MODEL, kind="auth", hint=NO_MODEL_HINT)


def _named(name: str, providers: Snapshot[LLMProvider]) -> Choice:
    prefix, slash, model = name.partition("/")
    if not slash:
        raise BadRequest(
            f"the model {name!r} names no provider", hint=f"write provider/model; providers: {', '.join(providers)}"
        )
    provider = providers.get(prefix)
    model = model or provider.default_model or ""
    if not model:
        raise BadRequest(f"{prefix} has no default model", hint=f"write {prefix}/MODEL")
    return Choice(provider, model)
