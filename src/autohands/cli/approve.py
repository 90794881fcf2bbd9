"""The approval card: what a call would do, escaped and complete, and the question. Deny is the default."""

from __future__ import annotations

from typing import Protocol

import msgspec

from autohands.cli.lines import Lines
from autohands.cli.paper import Paper, TerminalPaper
from autohands.cli.render import diff_style
from autohands.protocols.events import ApprovalRequested
from autohands.protocols.tool import EFFECT_WORDS

QUESTION = "Allow it? y yes · n no (default) · d details ›"
AGAIN = "Please answer y or n; d shows the whole call."


class Person(Protocol):
    """Somebody who can answer."""

    async def allows(self, request: ApprovalRequested) -> bool:
        """Whether the call may run."""
        ...


class Asker:
    """Asks at the terminal."""

    def __init__(self, paper: TerminalPaper, lines: Lines) -> None:
        self._paper = paper
        self._lines = lines

    async def allows(self, request: ApprovalRequested) -> bool:
        """Show the card and read the answer. What was typed before the card was shown answers nothing."""
        show_card(self._paper, request)
        self._lines.forget()
        while True:
            self._paper.ask(QUESTION)
            answer = read_answer(self._paper, request, await self._lines.read())
            if answer is not None:
                return answer


def read_answer(paper: Paper, request: ApprovalRequested, line: str | None) -> bool | None:
    """Yes, no (also for an empty line and the end of input), or None where it has to be asked again."""
    said = (line or "").strip().lower()
    if said in ("y", "yes"):
        return True
    if said in ("", "n", "no"):
        return False
    if said in ("d", "details"):
        show_details(paper, request)
    else:
        paper.note(AGAIN)
    return None


def show_card(paper: Paper, request: ApprovalRequested) -> None:
    """The tool, its effect, what it would do and why a person is asked."""
    paper.note(f"┌ {request.call.name} wants your approval ({EFFECT_WORDS[request.effect]})", "bold")
    for line in request.preview.splitlines():
        paper.note(f"│ {line}", diff_style(line))
    words = request.reason == f"{request.call.name} {EFFECT_WORDS[request.effect]}"
    paper.note("└" if words else f"└ {request.reason}", "bold")


def show_details(paper: Paper, request: ApprovalRequested) -> None:
    """The whole call, as the tool would get it."""
    call = msgspec.json.format(msgspec.json.encode(request.call.arguments), indent=2).decode()
    paper.note(f"{request.call.name} {call}")
