"""SEARCH/REPLACE on text: exactly where that is possible, else in spite of whitespace, else not at all. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from autohands.sdk import ToolError

from .diff import shared_ends
from .indentation import refit
from .nearest import nearest_region

SHOWN_PLACES = 100


class Edit(Struct, frozen=True, forbid_unknown_fields=True):
    """One replacement: the text to find, the text to put there, and whether to do so wherever it occurs."""

    old_string: str
    new_string: str
    replace_all: bool = False


class Edited(Struct, frozen=True):
    """A text after its edits; `drifted` tells that some matched only when whitespace was disregarded."""

    text: str
    replacements: int
    drifted: bool


class Span(Struct, frozen=True):
    """A part of a text and what comes in its place."""

    start: int
    end: int
    new: str


def apply_edits(text: str, edits: Sequence[Edit]) -> Edited:
    """Apply edits in turn, each to the outcome of the one before; all or none.

    Each line keeps its ending, a new line takes that of the place where it is put, and a text that ends with a newline
    goes on doing so.

    Raises:
        ToolError: `edit_not_found`, `edit_ambiguous` or `edit_no_change`, with the lines concerned.
    """
    edited, replacements, drifted = text, 0, False
    for number, edit in enumerate(edits, 1):
        try:
            lines = Lines(edited)
            spans, exact = find(lines.body, edit)
        except ToolError as error:
            raise _numbered(error, number, len(edits)) from error
        edited = lines.replaced(spans)
        replacements += len(spans)
        drifted = drifted or not exact
    if edited and text.endswith("\n") and not edited.endswith("\n"):
        edited += "\r\n" if text.endswith("\r\n") else "\n"
    if edited == text:
        raise ToolError("edit_no_change: the edit leaves the file as it is")
    return Edited(edited, replacements, drifted)


def _numbered(error: ToolError, number: int, of: int) -> ToolError:
    if of == 1:
        return error
    word, _, why = error.text.partition(": ")
    return ToolError(f"{word}: edit {number} of {of}, and so none was made: {why}")


class Lines:
    """A text with every line ending made a newline (`body`), which remembers what the endings were."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.body = text.replace("\r\n", "\n")
        self._crlf = [found.start() - at for at, found in enumerate(re.finditer("\r\n", text))]

    def replaced(self, spans: Sequence[Span]) -> str:
        """The text with spans of `body` replaced; everything outside them stays byte for byte."""
        pieces, done = [], 0
        for span in map(self._narrowed, spans):
            pieces += [self._original(done, span.start), span.new.replace("\n", self._ending(span.start))]
            done = span.end
        return "".join([*pieces, self._original(done, len(self.body))])

    def _narrowed(self, span: Span) -> Span:
        """The span without what it has in common with its replacement at both ends."""
        old = self.body[span.start : span.end]
        head, tail = shared_ends(old, span.new)
        return Span(span.start + head, span.end - tail, span.new[head : len(span.new) - tail])

    def _original(self, start: int, end: int) -> str:
        return self._text[self._position(start) : self._position(end)]

    def _position(self, at: int) -> int:
        return at + bisect_left(self._crlf, at)

    def _ending(self, at: int) -> str:
        newline = self.body.find("\n", at)
        if newline < 0:
            newline = self.body.rfind("\n", 0, at)
        known = bisect_left(self._crlf, newline)
        return "\r\n" if known < len(self._crlf) and self._crlf[known] == newline else "\n"


def made_already(text: str, edits: Sequence[Edit]) -> bool | None:
    """Whether a text shows all of the edits made (True) or none of them (False); None where it does not tell."""
    body = text.replace("\r\n", "\n")
    verdicts = {
        _made(body, edit.old_string.replace("\r\n", "\n"), edit.new_string.replace("\r\n", "\n")) for edit in edits
    }
    return verdicts.pop() if len(verdicts) == 1 else None


def _made(body: str, old: str, new: str) -> bool | None:
    """An old text left outside the new one was not replaced; a new one that stands there alone was put there."""
    if not old or not new or new in old:
        return None
    left = old in body.replace(new, "\0")
    if new in body:
        return None if left else True
    return False if left else None


def find(body: str, edit: Edit) -> tuple[list[Span], bool]:
    """Where an edit applies, and whether its old text stands there exactly. Raises ToolError as `apply_edits` does."""
    old, new = edit.old_string.replace("\r\n", "\n"), edit.new_string.replace("\r\n", "\n")
    if old == new:
        raise ToolError("edit_no_change: old_string and new_string are the same")
    if not old and body:
        raise ToolError("edit_not_found: old_string is empty; quote the text to replace, or the line to insert after")
    places = list(occurrences(body, old))
    if places:
        spans = [Span(place, place + len(old), new) for place in places]
    else:
        spans = list(find_in_spite_of_whitespace(body, old, new))
    if not spans:
        raise not_found(body, old, new)
    if len(spans) > 1 and not edit.replace_all:
        raise ambiguous(body, spans)
    return spans, bool(places)


def occurrences(body: str, wanted: str) -> Iterator[int]:
    """Where `wanted` occurs, without overlap."""
    at = body.find(wanted)
    while at >= 0:
        yield at
        at = body.find(wanted, at + len(wanted)) if wanted else -1


DISREGARDING: tuple[Callable[[str], str], ...] = (
    str.rstrip,
    str.strip,
    lambda line: " ".join(line.split()),
    lambda line: "".join(line.split()),
)
"""What a line is compared by, from strict to loose; the first that finds anything decides."""


def find_in_spite_of_whitespace(body: str, old: str, new: str) -> Iterator[Span]:
    """Whole lines that are those of `old` but for whitespace, with `new` fitted to their indentation."""
    wanted, replacement = trim_blank_lines(old.split("\n"), new.split("\n"))
    if not wanted:
        return
    lines = body.split("\n")
    for key in DISREGARDING:
        if places := list(windows([key(line) for line in lines], [key(line) for line in wanted])):
            break
    else:
        return
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    for place in places:
        after = place + len(wanted)
        fitted = refit(replacement, wanted, lines[place:after], lines)
        if fitted is None:
            return
        end = starts[after] - 1 if fitted else min(starts[after], len(body))
        yield Span(starts[place], end, "\n".join(fitted))


def trim_blank_lines(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    """Both without the blank lines at the ends of `old`; `new` loses no more than `old`, and only blank ones."""
    for end in (0, -1):
        while old and not old[end].strip():
            old = old[1:] if end == 0 else old[:-1]
            if new and not new[end].strip():
                new = new[1:] if end == 0 else new[:-1]
    return old, new


def windows(lines: Sequence[str], wanted: Sequence[str]) -> Iterator[int]:
    """Where `wanted` occurs among `lines`, without overlap."""
    free = 0
    for at, line in enumerate(lines):
        if at >= free and line == wanted[0] and lines[at : at + len(wanted)] == wanted:
            free = at + len(wanted)
            yield at


def ambiguous(body: str, spans: Sequence[Span]) -> ToolError:
    """The refusal of a text that occurs more than once, with the line of each place."""
    lines = dict.fromkeys(str(body.count("\n", 0, span.start) + 1) for span in spans[:SHOWN_PLACES])
    more = f" and {len(spans) - SHOWN_PLACES} more" if len(spans) > SHOWN_PLACES else ""
    return ToolError(
        f"edit_ambiguous: old_string occurs {len(spans)} times, at lines {', '.join(lines)}{more}; "
        "quote more lines around the one you mean, or set replace_all"
    )


def not_found(body: str, old: str, new: str) -> ToolError:
    """The refusal of a text that does not occur, with what comes nearest to it."""
    region = nearest_region(body.split("\n"), old.split("\n"))
    text = "edit_not_found: old_string is not in the file."
    if new.strip() and (at := body.find(new)) >= 0:
        text += f" new_string is there already, at line {body.count(chr(10), 0, at) + 1}."
    return ToolError(f"{text} {region}" if region else f"{text} Nothing in the file is like it; read the file again.")
