"""On which line of a TOML document a key stands: the parser of the standard library does not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_BARE = r"[A-Za-z0-9_-]+"
_BASIC = r'"(?:\\.|[^"\\\n])*"'
_LITERAL = r"'[^'\n]*'"
_KEY = rf"({_BARE}|{_BASIC}|{_LITERAL})[ \t]*(\.?)[ \t]*"
_SPACE = r"[ \t]*"
_BLANK = r"(?:[ \t\r\n]|#[^\n]*)*"
_VALUE = rf'(?s)"""(?:\\.|[^\\])*?"""+|\'\'\'.*?\'\'\'+|{_BASIC}|{_LITERAL}|#[^\n]*|[\[{{]|[\]}}]|\n|[^\[\]{{}}"\'#\n]+'


class LineIndex:
    """Where the keys of a document are. `again` names keys that are set twice, with both lines.

    Made for documents that parse; of others it sees what comes before the damage.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        self.again: list[tuple[str, int, int]] = []
        self._scan(text)

    def find(self, path: KeyPath) -> int | None:
        """The line of a key, or of the nearest thing above it."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None

    def _scan(self, text: str) -> None:
        table: KeyPath = ()
        arrays: dict[KeyPath, int] = {}
        for line, brackets, names in _statements(text):
            if not brackets:
                self._note((*table, *names), line)
                continue
            table = _in_last(names, arrays)
            if brackets == 2:
                arrays[table] = arrays.get(table, -1) + 1
                table = (*table, arrays[table])
            self._note(table, line, repeated=brackets == 1)

    def _note(self, path: KeyPath, line: int, *, repeated: bool = True) -> None:
        first = self._lines.setdefault(path, line)
        if first != line and repeated:
            self.again.append((dotted(path), first, line))


def dotted(path: KeyPath) -> str:
    """A key as people write it: `policy.rule[0].tool`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _in_last(names: KeyPath, arrays: dict[KeyPath, int]) -> KeyPath:
    """A table's path, through the last element of each array of tables on the way."""
    path: KeyPath = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if path in arrays and position < len(names) - 1:
            path = (*path, arrays[path])
    return path


def _statements(text: str) -> Iterator[tuple[int, int, KeyPath]]:
    """Each header and each assignment: its line, its number of brackets, its names."""
    at = 0
    line, counted = 1, 0
    while (at := _end(_BLANK, text, at)) < len(text):
        line, counted = line + text.count("\n", counted, at), at
        brackets = 2 if text.startswith("[[", at) else int(text.startswith("[", at))
        names, at = _names(text, _end(_SPACE, text, at + brackets))
        if not names:
            return
        yield line, brackets, names
        at = _skip_value(text, at)


def _names(text: str, at: int) -> tuple[KeyPath, int]:
    names: list[str] = []
    while found := re.compile(_KEY).match(text, at):
        at = found.end()
        names.append(_unquoted(found[1]))
        if not found[2]:
            break
    return tuple(names), at


def _unquoted(name: str) -> str:
    if not name.startswith(('"', "'")):
        return name
    import tomllib

    try:
        return next(iter(tomllib.loads(f"{name} = 0")))
    except tomllib.TOMLDecodeError:
        return name


def _skip_value(text: str, at: int) -> int:
    """The place after a value, which may span lines within brackets and long strings."""
    depth = 0
    while found := re.compile(_VALUE).match(text, at):
        at = found.end()
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if found[0] == "\n" and depth <= 0:
            break
    return at


def _end(pattern: str, text: str, at: int) -> int:
    found = re.compile(pattern).match(text, at)
    return found.end() if found else at
