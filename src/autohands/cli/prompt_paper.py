"""The paper of `chat`: whole lines go above the prompt, the line that is still being written is a part of it."""

from __future__ import annotations

from typing import TextIO

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples

from autohands.cli.fail import colourful
from autohands.cli.markdown import Markdown
from autohands.cli.paper import paint
from autohands.sdk.clip import escape

_STYLES = {"bold": "bold", "dim": "ansibrightblack", "code": "ansicyan"}
_SHOWN_CHARACTERS = 400


class PromptPaper:
    """Whole lines go above the prompt; the line that is still being written, and the status, are part of it."""

    live = True

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = colourful(out)
        self._markdown = Markdown()
        self._line: list[tuple[str, str]] = []
        self._status = ""
        self.app: Application[str] | None = None

    def answer(self, text: str) -> None:
        """More of the answer."""
        self._status = ""
        for piece, style in self._markdown.feed(text):
            if piece == "\n":
                self._print_line()
            else:
                self._line.append((escape(piece), style))
        self.redraw()

    def note(self, text: str, style: str = "") -> None:
        """Lines above the prompt."""
        self.close()
        for line in escape(text).split("\n"):
            self._print(paint(line, style, colour=self._colour))

    def status(self, text: str) -> None:
        """What goes on now, just above the prompt."""
        if text != self._status:
            self._status = " ".join(text.split())
            self.redraw()

    def close(self) -> None:
        """End the line, clear the status."""
        self._status = ""
        if held := self._markdown.end():
            self._line.append((escape(held), ""))
        self._markdown = Markdown()
        if self._line:
            self._print_line()

    def above(self) -> StyleAndTextTuples:
        """What belongs above the input: the end of the unfinished line, or the status."""
        shown: StyleAndTextTuples = []
        left = _SHOWN_CHARACTERS
        for text, style in reversed(self._line):
            shown.insert(0, (_STYLES.get(style, ""), text[-left:]))
            if (left := left - len(text)) <= 0:
                break
        if not shown and self._status:
            shown.append((_STYLES["dim"], escape(self._status)))
        return [*shown, ("", "\n")] if shown else []

    def _print_line(self) -> None:
        line = "".join(paint(text, style, colour=self._colour) for text, style in self._line)
        self._line.clear()
        self._print(line)

    def _print(self, line: str) -> None:
        """Write a line where the prompt stands, and let the prompt be drawn anew below it.

        prompt_toolkit's own `in_terminal` does so in cooked mode, where keys that are typed meanwhile get lost.
        """
        app = self.app if self.app and self.app.is_running else None
        if app:
            app.renderer.erase()
        self._out.write(line + "\n")
        self._out.flush()
        if app:
            app.renderer.reset()
            app.renderer.request_absolute_cursor_position()
            app.invalidate()

    def redraw(self) -> None:
        """Draw what stands above the prompt anew."""
        if self.app:
            self.app.invalidate()
