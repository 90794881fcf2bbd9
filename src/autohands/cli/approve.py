"""What a person is asked at a terminal: may a call run (no is the default), and what became of one that nobody knows
the outcome of."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from autohands.cli.approval import rule_line
from autohands.cli.doubts import Doubt
from autohands.cli.lines import Lines
from autohands.cli.paper import Paper, TerminalPaper
from autohands.cli.render import describe, diff_style
from autohands.protocols.events import ApprovalRequested
from autohands.protocols.tool import EFFECT_WORDS

QUESTION = "Allow it? y yes · n no (default) · d details ›"
WIDER = "Allow it? y yes, once · s such calls in this session · r such calls by a rule · n no (default) · d details ›"
AGAIN = "Please answer y or n; d shows the whole call."
DOUBT_QUESTION = "What is to become of it? r retry · d done · s skip · c cancel the task · Enter decides later ›"
DOUBT_AGAIN = "Please answer r, d, s or c, or press Enter to decide later."

Said: TypeAlias = Literal["once", "session", "rule", "no"]
Decision: TypeAlias = Literal["retry", "done", "skip", "cancel"]
_DECISIONS: dict[str, Decision] = {"r": "retry", "d": "done", "s": "skip", "c": "cancel"}


class Person(Protocol):
    """Somebody who can answer."""

    async def allows(self, request: ApprovalRequested) -> Said:
        """Whether the call may run, and whether calls like it may from now on."""
        ...

    async def decides(self, doubt: Doubt) -> Decision | None:
        """What is to become of a call that was interrupted; None to leave that open."""
        ...


class Asker:
    """Asks at the terminal."""

    def __init__(self, paper: TerminalPaper, lines: Lines) -> None:
        self._paper = paper
        self._lines = lines

    async def allows(self, request: ApprovalRequested) -> Said:
        """Show the card and read the answer. What was typed before the card was shown answers nothing."""
        show_card(self._paper, request)
        self._lines.forget()
        while True:
            self._paper.ask(question(request))
            answer = read_answer(self._paper, request, await self._lines.read())
            if answer is not None:
                return answer

    async def decides(self, doubt: Doubt) -> Decision | None:
        """Show what is known and read the decision."""
        show_doubt(self._paper, doubt)
        self._lines.forget()
        while True:
            self._paper.ask(DOUBT_QUESTION)
            decision = read_decision(self._paper, await self._lines.read())
            if decision is not None:
                return decision or None


def question(request: ApprovalRequested) -> str:
    """The question, with the wider answers where a rule is offered."""
    return QUESTION if request.rule is None else WIDER


def read_answer(paper: Paper, request: ApprovalRequested, line: str | None) -> Said | None:
    """Yes in one of three ways, no (also for an empty line and the end of input), or None where it has to be asked
    again."""
    said = (line or "").strip().lower()
    answers: dict[str, Said] = {"y": "once", "yes": "once", "": "no", "n": "no", "no": "no"}
    if request.rule is not None:
        answers |= {"s": "session", "session": "session", "r": "rule", "rule": "rule"}
    if said in answers:
        return answers[said]
    if said in ("d", "details"):
        show_details(paper, request)
    else:
        paper.note(AGAIN)
    return None


def read_decision(paper: Paper, line: str | None) -> Decision | Literal[""] | None:
    """A decision, "" for none (also at the end of input), or None where it has to be asked again."""
    said = (line or "").strip().lower()
    if not said:
        return ""
    decision = _DECISIONS.get(said) or next((each for each in _DECISIONS.values() if each == said), None)
    if decision is None:
        paper.note(DOUBT_AGAIN)
    return decision


def show_doubt(paper: Paper, doubt: Doubt) -> None:
    """The call that had begun when the program stopped."""
    paper.note(f"┌ {describe(doubt.call)}", "bold")
    paper.note("│ It had begun when the program stopped, and nobody knows how far it came.")
    paper.note("│ retry: let it begin once more · done: it has happened · skip: go on without it")
    paper.note("└", "bold")


def show_card(paper: Paper, request: ApprovalRequested) -> None:
    """The tool, its effect, what it would do and why a person is asked."""
    paper.note(f"┌ {request.call.name} wants your approval ({EFFECT_WORDS[request.effect]})", "bold")
    for line in request.preview.splitlines():
        paper.note(f"│ {line}", diff_style(line))
    if request.hosts:
        paper.note(f"│ data may go to {', '.join(request.hosts)}")
    if request.origin:
        paper.note(f"│ asked by {request.origin}", "dim")
    if request.rule is not None:
        paper.note(f"│ s and r allow: {rule_line(request.rule)}", "dim")
    words = request.reason == f"{request.call.name} {EFFECT_WORDS[request.effect]}"
    paper.note("└" if words else f"└ {request.reason}", "bold")


def show_details(paper: Paper, request: ApprovalRequested) -> None:
    """The whole call, as the tool would get it."""
    call = msgspec.json.format(msgspec.json.encode(request.call.arguments), indent=2).decode()
    paper.note(f"{request.call.name} {call}")
