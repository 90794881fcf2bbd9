"""Which paths beneath a folder are meant, by globs as in .gitignore.

`*` and `?` stay within a name, `[a-z]` and `[!a-z]` are one character, `**` is any number of directories. A pattern
without a slash (but at its end) fits at any depth, others begin at the folder; one that fits a directory fits all that
is in it, and one that ends with a slash fits directories only. `!` takes nothing back.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from typing import Final

from autohands.protocols.errors import BadRequest

LONGEST: Final = 1_000


class Globs:
    """Some patterns. Raises `BadRequest` where one is empty, too long, or takes something back."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._matches = [_compiled(pattern) for pattern in patterns]

    def match(self, path: str, *, directory: bool = False) -> bool:
        """Whether one fits a path relative to the folder, with slashes, or a directory that it is in."""
        name = f"{path}/" if directory else path
        return any(matches.match(name) for matches in self._matches)


def _compiled(pattern: str) -> re.Pattern[str]:
    bare = pattern.removeprefix("./").lstrip("/").rstrip("/")
    if not bare or len(pattern) > LONGEST or pattern.startswith("!"):
        raise BadRequest(f"{pattern[:80]!r} is no pattern of files", hint='as in .gitignore, without "!"')
    anchored = "/" in pattern.rstrip("/")
    names = bare.split("/") if anchored else ["**", bare]
    inside = "/" if pattern.endswith("/") else r"(?:/|\Z)"
    return re.compile("".join(_parts(names)) + inside, re.DOTALL)


def _parts(names: list[str]) -> Iterable[str]:
    """A regular expression for each name of a path, with the slash behind it."""
    for position, name in enumerate(names):
        last = position == len(names) - 1
        if name == "**":
            yield ".+" if last else "(?:[^/]+/)*"
        else:
            yield _name(name) + ("" if last else "/")


def _name(glob: str) -> str:
    """A regular expression for one name."""
    pieces = re.split(r"(\[[^\]/]+\])", re.sub(r"\*+", "*", glob))
    return "".join(_piece(piece) for piece in pieces)


def _piece(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        translated = fnmatch.translate(text)
        return "(?!/)" + translated.removeprefix("(?s:").removesuffix(r")\Z")
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)) for character in text)
