"""What text is written on: the answer on standard output, all else on standard error, often one terminal."""

from __future__ import annotations

import shutil
from typing import Protocol, TextIO

from autohands.cli.fail import colourful
from autohands.cli.markdown import Markdown
from autohands.sdk.clip import escape

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "code": "36"}
_CLEAR = "\r\x1b[2K"


class Paper(Protocol):
    """Where a screen writes. Everything given to it is untrusted text: control characters are shown, not obeyed."""

    live: bool
    """Whether the answer is shown while it comes; else only when it is whole."""

    def answer(self, text: str) -> None:
        """More of the answer."""
        ...

    def note(self, text: str, style: str = "") -> None:
        """A line or more beside the answer."""
        ...

    def status(self, text: str) -> None:
        """What goes on now, in place of what went on before; nothing where `text` is empty."""
        ...

    def close(self) -> None:
        """End the line, clear the status."""
        ...


def paint(text: str, style: str, *, colour: bool) -> str:
    """Text in a style, where colours are shown; a style is red, green, yellow, bold, dim or code."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if colour and style and text else text


def fitting(text: str, columns: int) -> str:
    """The beginning of a one-line text that fits, marked where it was cut; wide characters count twice."""
    from rich.cells import set_cell_size

    return text if columns_of(text) <= columns else set_cell_size(text, max(columns - 1, 0)) + "…"


def columns_of(text: str) -> int:
    """How many columns a text takes; wide characters count twice."""
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)


class TerminalPaper:
    """Two streams of a process."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out, self._err = out, err
        self.live = out.isatty()
        self._colour, self._err_colour = colourful(out), colourful(err)
        self._transient = err.isatty()
        self._markdown = Markdown()
        self._in_line = False
        self._status = ""

    def answer(self, text: str) -> None:
        """More of the answer; a pipe gets it as it is, a terminal with colours and without control characters."""
        self.status("")
        if not self.live:
            self._out.write(text)
        elif self._colour:
            pieces = self._markdown.feed(text)
            self._out.write("".join(paint(escape(piece), style, colour=True) for piece, style in pieces))
        else:
            self._out.write(escape(text))
        if text:
            self._in_line = not text.endswith("\n")
        self._out.flush()

    def note(self, text: str, style: str = "") -> None:
        """A line of its own on standard error."""
        self.close()
        lines = (paint(line, style, colour=self._err_colour) for line in escape(text).split("\n"))
        self._err.write("\n".join(lines) + "\n")
        self._err.flush()

    def ask(self, question: str) -> None:
        """A question, with the cursor behind it."""
        self.close()
        self._err.write(paint(question, "bold", colour=self._err_colour) + " ")
        self._err.flush()

    def status(self, text: str) -> None:
        """A line that the next one overwrites; only at a terminal, and never in the middle of the answer."""
        if not self._transient or self._in_line or text == self._status:
            return
        self._status = text
        shown = fitting(escape(" ".join(text.split())), shutil.get_terminal_size().columns - 1)
        self._err.write(_CLEAR + paint(shown, "dim", colour=self._err_colour))
        self._err.flush()

    def close(self) -> None:
        """End the line of the answer, clear the status."""
        self.status("")
        held, self._markdown = self._markdown.end(), Markdown()
        if held or self._in_line:
            self._out.write(f"{held}\n")
            self._out.flush()
        self._in_line = False
