"""Colours for Markdown that is still streaming: every character is shown as it came, only its style is found."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(r"\n|```|`|\*\*|\*|[ \t]+|[^`*\n]+")
_OPEN_END = re.compile(r"(`+|\*+|#+)\Z")


class Markdown:
    """Finds headings, fences, `code` and **bold** in one text; a marker that was cut in two waits for its rest."""

    def __init__(self) -> None:
        self._held = ""
        self._fence = self._code = self._bold = self._heading = False
        self._line_start = True

    def feed(self, text: str) -> Iterator[tuple[str, str]]:
        """More text, as pieces with their styles."""
        text = self._held + text
        cut = _OPEN_END.search(text)
        self._held = cut[0] if cut else ""
        for token in _TOKEN.findall(text[: len(text) - len(self._held)]):
            yield token, self._style(token)

    def end(self) -> str:
        """What was held back."""
        return self._held

    def _style(self, token: str) -> str:
        if token == "\n":
            self._heading = self._code = self._bold = False
            self._line_start = True
            return ""
        starts, self._line_start = self._line_start, self._line_start and token.isspace()
        if token == "```" and starts:
            self._fence = not self._fence
            return "code"
        if self._fence:
            return "code"
        return self._inline(token, starts=starts)

    def _inline(self, token: str, *, starts: bool) -> str:
        if token == "`":
            self._code = not self._code
            return "code"
        if token == "**" and not self._code:
            self._bold = not self._bold
            return "bold"
        if starts and re.match(r"#{1,6} ", token):
            self._heading = True
        if self._code:
            return "code"
        return "bold" if self._bold or self._heading else ""
