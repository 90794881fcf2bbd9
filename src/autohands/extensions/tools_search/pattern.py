"""Glob patterns as regular expressions that never run away: each star takes the shortest stretch that fits, for good.

`*` and `?` stay within a name, `[a-z]` and `[!a-z]` are one character, `{a,b}` is either, `**` between slashes is any
number of directories. A pattern without a slash fits at any depth, others begin where the search begins (as in
gitignore(5)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from autohands.sdk import ToolError

LONGEST = 1_000
MOST_ALTERNATIVES = 100
SIMPLE = re.compile(r"[\w.*-]*[\w.-][\w.*-]*", re.ASCII)
BRACES = re.compile(r"\{([^{}]*)\}")


class Pattern:
    """A compiled pattern.

    Raises:
        ToolError: It is empty, too long, or has too many alternatives.
    """

    def __init__(self, text: str) -> None:
        if not 0 < len(text) <= LONGEST:
            raise ToolError(f"invalid_pattern: a pattern has 1 to {LONGEST:,} characters")
        start = "" if "/" in text else "**/"
        paths = [start + path.removeprefix("./").lstrip("/") for path in alternatives(text)]
        self.matches = re.compile("|".join(map(translated, paths)), re.DOTALL).fullmatch
        self._names = {path.rpartition("/")[2] for path in paths}

    @property
    def names(self) -> list[str]:
        """Patterns of names that every match fits, which ripgrep can sort out itself; empty if they are not simple."""
        return sorted(self._names) if all(SIMPLE.fullmatch(name) for name in self._names) else []


def alternatives(text: str) -> list[str]:
    """The patterns without braces that a pattern with braces stands for. Raises `ToolError` if they are too many."""
    done: set[str] = set()
    waiting = [text]
    while waiting:
        braces = BRACES.search(one := waiting.pop())
        if braces is None:
            done.add(one)
        else:
            waiting += [one[: braces.start()] + choice + one[braces.end() :] for choice in braces[1].split(",")]
        if len(done) + len(waiting) > MOST_ALTERNATIVES:
            raise ToolError(f"invalid_pattern: more than {MOST_ALTERNATIVES} alternatives in braces")
    return sorted(done)


def translated(path: str) -> str:
    """A regular expression for whole paths. A run of names between two `**` is found at its first place, for good."""
    runs: list[list[str]] = [[]]
    for name in path.split("/"):
        if name != "**":
            runs[-1].append(_name(name))
        elif runs[-1] or len(runs) == 1:
            runs.append([])
    first, *rest = ["/".join(run) for run in runs]
    if not rest:
        return first
    *between, last = rest
    found = "".join(rf"(?>(?:[^/]+/)*?{run}/)" for run in between if run)
    return rf"{first + '/' if first else ''}{found}{f'(?:[^/]+/)*{last}' if last else '.+'}"


def _name(glob: str) -> str:
    """A regular expression for one name; each stretch between two stars is found at its first place, for good."""
    stretches = [""]
    for token in _tokens(glob):
        if token == "*":
            stretches.append("")
        else:
            stretches[-1] += token
    first, *rest = stretches
    if not rest:
        return first
    *between, last = rest
    return first + "".join(rf"(?>[^/]*?{stretch})" for stretch in between if stretch) + rf"[^/]*{last}"


def _tokens(glob: str) -> Iterator[str]:
    position = 0
    while position < len(glob):
        character = glob[position]
        end = glob.find("]", position + 2) if character == "[" else -1
        if end > 0:
            yield _set(glob[position + 1 : end])
            position = end
        else:
            yield {"*": "*", "?": "[^/]"}.get(character) or re.escape(character)
        position += 1


def _set(inside: str) -> str:
    """A set of characters. Raises `ToolError` where a range runs backwards."""
    negated = inside[0] in "!^"
    characters = re.sub(r"([\\\[\]&~|^])", r"\\\1", inside[negated:])
    try:
        re.compile(f"[{characters}]")
    except re.error:
        raise ToolError(f"invalid_pattern: [{inside}] is no set of characters") from None
    return f"[^/{characters}]" if negated else f"[{characters}]"
