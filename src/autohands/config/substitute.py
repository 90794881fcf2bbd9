"""Puts environment variables into values that were parsed already: what a variable holds is never read as TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from autohands.config.check import Problem
from autohands.config.lines import KeyPath

_VARIABLE = r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|\$\{"


class Substitution:
    """`${NAME}` and `${NAME:-default}` in every text of a table; `$${` stands for a plain `${`.

    `problems` are variables that are not set, `used` says which variables went into the value at a path.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.used: dict[KeyPath, tuple[str, ...]] = {}
        self._environ = environ

    def apply(self, value: Any, path: KeyPath = ()) -> Any:
        """The value with all variables put in."""
        if isinstance(value, dict):
            return {key: self.apply(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.apply(each, (*path, number)) for number, each in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return re.sub(_VARIABLE, lambda found: self._put(found, path), value)
        return value

    def _put(self, found: re.Match[str], path: KeyPath) -> str:
        name, default = found[1], found[3]
        if found[0] == "$${":
            return "${"
        if name is None:
            self.problems.append(Problem(path, "write ${NAME} or ${NAME:-default}, and $${ for a plain ${"))
            return found[0]
        self.used[path] = (*self.used.get(path, ()), name)
        value = self._environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            self.problems.append(Problem(path, f"${{{name}}} is not set; set it, or write ${{{name}:-default}}"))
            return ""
        return value
