"""The environment of a command: an allow-list of the program's own, and values that keep commands from asking."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

ALLOWED = frozenset({"HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"})
ALLOWED_PREFIX = "LC_"
FIXED = {
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
}


def clean_environment(source: Mapping[str, str], also: Iterable[str] = ()) -> dict[str, str]:
    """The part of `source` that commands may see (`also` names more variables), and the fixed values."""
    names = ALLOWED | set(also)
    kept = {name: value for name, value in source.items() if name in names or name.startswith(ALLOWED_PREFIX)}
    return kept | {"PATH": absolute_path(source.get("PATH", os.defpath))} | FIXED


def absolute_path(path: str) -> str:
    """A search path without its relative entries: those would run what lies in the workspace."""
    return os.pathsep.join(entry for entry in path.split(os.pathsep) if entry.startswith("/")) or "/usr/bin:/bin"
