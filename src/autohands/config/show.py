"""The configuration as people may see it: each key with its value and origin, secrets as fingerprints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from autohands.config.lines import KeyPath, dotted
from autohands.config.load import Loaded
from autohands.config.secrets import fingerprint, is_secret, without_user


class Shown(Struct, frozen=True):
    """One key. `value` is fit for JSON; `origin` is `default`, `FILE:LINE`, `environment NAME` or `option`."""

    key: str
    value: Any
    origin: str


def show(loaded: Loaded) -> list[Shown]:
    """Every key in force, in the order of the schema; the defaults of extensions are theirs and not listed."""
    return [
        Shown(dotted(path), _visible(path, value, loaded), loaded.origin(path))
        for path, value in _leaves(msgspec.to_builtins(loaded.config), ())
    ]


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list | tuple) and any(isinstance(each, dict) for each in value):
        for number, each in enumerate(value):
            yield from _leaves(each, (*path, number))
    else:
        yield path, value


def _visible(path: KeyPath, value: Any, loaded: Loaded) -> Any:
    if isinstance(value, list | tuple):
        return [_visible((*path, number), each, loaded) for number, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    names = [*(part for part in path if isinstance(part, str)), *loaded.variables.get(path, ())]
    return fingerprint(value) if any(map(is_secret, names)) else without_user(value)
