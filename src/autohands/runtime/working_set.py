"""The working set: what a session was asked and has done, as data beside its transcript, folded from recorded steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from autohands.protocols.messages import Message, Text, ToolCall
from autohands.protocols.tool import ToolResult
from autohands.sdk.clip import clip_ends

MOST_ASKS = 400
MOST_FILES = 300
MOST_COMMANDS = 60
DEEDS_OF_A_FILE = 3
LONGEST_ASK, LONGEST_PROMPT = 1_500, 8_000
LONGEST_LINE = 300
ENVIRONMENT = "<environment>"
REFUSALS = ("denied: ", "outcome_unknown: ")
_PATHS = ("path", "file", "source", "destination")
_LOOKS = ("read", "list", "stat", "glob", "grep", "search", "show", "look", "find", "get", "view")


class WorkingSet:
    """Files with what was done to them, commands with their outcome, what was decided, what was asked, verbatim."""

    def __init__(self) -> None:
        self._asks: list[str] = []
        self._files: dict[str, list[str]] = {}
        self._commands: list[str] = []
        self._decisions: list[str] = []
        self._prompt = ""

    def asked(self, message: Message, *, opens: bool = False) -> None:
        """A person's words; those that open a task are what it is about."""
        text = "\n".join(
            part.text
            for part in message.parts
            if isinstance(part, Text) and part.text and not part.text.startswith(ENVIRONMENT)
        )
        if opens:
            self._prompt = clip_ends(text, LONGEST_PROMPT)
        if text:
            self._asks.append(clip_ends(text, LONGEST_ASK))
            del self._asks[1 : len(self._asks) - MOST_ASKS + 1]

    def did(self, call: ToolCall, result: ToolResult, turn: int) -> None:
        """A call that came to its end in a turn."""
        if result.text.startswith(REFUSALS):
            self._decisions = [*self._decisions[-MOST_COMMANDS:], _line(f"{_shown(call)}: {result.text}")]
            return
        data = result.data or {}
        command = call.arguments.get("command")
        if isinstance(command, str):
            self._commands = [*self._commands[-MOST_COMMANDS + 1 :], _line(f"`{command}` → {_outcome(result)}")]
        for path in _paths(call):
            sha256 = data.get("sha256_after") or data.get("sha256")
            known = f", sha256 {sha256[:12]}" if isinstance(sha256, str) else ""
            deed = f"{call.name} in turn {turn}{' (failed)' if result.failed else ''}{known}"
            self._files[path] = [*self._files.pop(path, [])[-DEEDS_OF_A_FILE + 1 :], deed]
        while len(self._files) > MOST_FILES:
            del self._files[next(iter(self._files))]

    def _file_lines(self) -> list[str]:
        lines = [(_changes(deeds), f"{path}: {'; '.join(deeds)}") for path, deeds in self._files.items()]
        return [line for changed in (False, True) for is_changed, line in lines if is_changed is changed]

    @property
    def asks(self) -> str:
        """What was asked, all of it, as the check of a summary reads it."""
        return "\n".join([self._prompt, *self._asks])

    def render(self, room: int) -> str:
        """The working set as text of about `room` bytes: the present task first, then what came last."""
        sections = (
            ("The present task, word for word", [self._prompt] if self._prompt else [], room // 3),
            ("What was asked, word for word, oldest first", [_line(ask, LONGEST_ASK) for ask in self._asks], room // 3),
            ("Decisions", self._decisions, room // 12),
            ("Files, those that were changed last", self._file_lines(), room // 5),
            ("Commands", self._commands, room // 8),
        )
        return "\n\n".join(filled for title, lines, most in sections if (filled := section(title, lines, most)))


def section(title: str, lines: list[str], most: int) -> str:
    """Lines beneath a heading, the last ones that fit into `most` bytes; nothing without lines."""
    kept: list[str] = []
    for line in reversed(lines):
        most -= len(line.encode()) + 3
        if most < 0 and kept:
            break
        kept.append(clip_ends(line, max(most + len(line.encode()) + 3, 64)) if most < 0 else line)
    if not kept:
        return ""
    left_out = len(lines) - len(kept)
    dropped = [f"({left_out} older ones are left out)"] if left_out else []
    return "\n".join([f"## {title}", *dropped, *(f"- {line}" for line in reversed(kept))])


def _changes(deeds: list[str]) -> bool:
    return any(not deed.startswith(_LOOKS) for deed in deeds)


def _paths(call: ToolCall) -> Iterator[str]:
    for name in _PATHS:
        value = call.arguments.get(name)
        if isinstance(value, str) and value:
            yield value[:LONGEST_LINE]


def _outcome(result: ToolResult) -> str:
    code = (result.data or {}).get("exit_code")
    word = "failed" if result.failed else "done"
    lines: Iterable[str] = reversed(result.text.strip().splitlines())
    last = next((line for line in lines if line.strip()), "")
    return f"{word if code is None else f'exit code {code}'}; last line: {last.strip()}" if last else word


def _shown(call: ToolCall) -> str:
    return " ".join([call.name, *(str(value) for value in call.arguments.values() if isinstance(value, str | int))])


def _line(text: str, most: int = LONGEST_LINE) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}…"
