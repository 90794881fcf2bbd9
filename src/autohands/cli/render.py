"""Shows the events of a run: to people as text that streams, to scripts as one JSON object a line."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

import click
import msgspec

from autohands.cli.paper import Paper
from autohands.protocols.events import (
    Compacted,
    Event,
    ReplyFinished,
    Reset,
    RetryScheduled,
    RunFinished,
    RunStarted,
    TaskWaiting,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    ToolOutput,
    ToolStarted,
    TurnStarted,
    Unknown,
)
from autohands.protocols.messages import ToolCall, Usage
from autohands.protocols.tool import ToolResult
from autohands.sdk.clip import escape

MARKS = {"done": "✓", "failed": "✗", "denied": "⊘", "unknown": "?"}
STYLES = {"done": "green", "failed": "red", "denied": "yellow", "unknown": "yellow"}
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_QUIET_SECONDS = 0.4
_TELLING = ("command", "path", "source", "pattern", "url", "query", "prompt", "action")
_LONGEST = 160
_DIFF_LINES = 40
_FAILED_LINES, _DONE_LINES = 5, 3
_HOW_ENDED = r"\[(exit code |ended by |timed out |ended on request|oom|fsize|processes|lost).*\]"


class Screen(Protocol):
    """Shows events as they come."""

    def show(self, data: bytes, event: Event | Unknown) -> None:
        """Show one event, given as JSON and decoded."""
        ...

    def tick(self) -> None:
        """Time has passed."""
        ...

    def tell(self, text: str) -> None:
        """Say something that is no event."""
        ...


class JsonScreen:
    """One event a line."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def show(self, data: bytes, event: Event | Unknown) -> None:
        """Write the event as it is."""
        self._out.write(data + b"\n")
        self._out.flush()

    def tick(self) -> None:
        """Nothing to do: there is nothing to animate."""

    def tell(self, text: str) -> None:
        """Standard output is for events only."""
        click.echo(escape(text), err=True)


class SilentScreen:
    """Shows no event."""

    def show(self, data: bytes, event: Event | Unknown) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def tell(self, text: str) -> None:
        """What is no event is for a person all the same."""
        click.echo(escape(text), err=True)


class TextScreen:
    """The answer as it comes, a line for each tool call, what it cost in the end."""

    def __init__(self, paper: Paper, *, hints: bool = True, session: str | None = None) -> None:
        self._paper = paper
        self._session = session
        self._hints = hints
        self._shown = ""
        self._calls: dict[str, ToolCall] = {}
        self._running: dict[tuple[int, int], tuple[str, int]] = {}
        self._doing, self._since = "", time.monotonic()
        self._started = 0
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            RunStarted: self._run_started,
            TurnStarted: self._turn_started,
            ThinkingDelta: self._thinking,
            TextDelta: self._text,
            Reset: self._reset,
            ReplyFinished: self._replied,
            ToolStarted: self._tool_started,
            ToolOutput: self._tool_output,
            ToolFinished: self._tool_finished,
            RetryScheduled: self._retrying,
            Compacted: self._compacted,
            TaskWaiting: self._waiting,
            RunFinished: self._run_finished,
        }

    def show(self, data: bytes, event: Event | Unknown) -> None:
        """Show one event; those that mean nothing to a person are left out."""
        if handler := self._handlers.get(type(event)):
            handler(event)

    def tick(self) -> None:
        """Keep the status line moving while something takes long."""
        waited = time.monotonic() - self._since
        if self._doing and waited >= _QUIET_SECONDS:
            frame = _FRAMES[int(time.monotonic() * 5) % len(_FRAMES)]
            self._paper.status(f"{frame} {int(waited)} s · {self._doing}")

    def tell(self, text: str) -> None:
        """A line between the events."""
        self._paper.note(text, "dim")

    def _do(self, what: str) -> None:
        if what != self._doing:
            self._since = time.monotonic()
        self._doing = what

    def _run_started(self, event: RunStarted) -> None:
        self._started = event.at
        self._paper.note(f"{event.model} · {event.agent} · {event.workspace}", "dim")

    def _turn_started(self, event: TurnStarted) -> None:
        self._shown = ""
        self._do("thinking")

    def _thinking(self, event: ThinkingDelta) -> None:
        if last := event.text.strip():
            self._doing = f"thinking: {last[-_LONGEST:]}"

    def _text(self, event: TextDelta) -> None:
        self._do("")
        fresh = event.text[max(len(self._shown) - event.offset, 0) :]
        self._say(fresh)

    def _say(self, text: str) -> None:
        self._shown += text
        if self._paper.live:
            self._paper.answer(text)

    def _reset(self, event: Reset) -> None:
        if self._shown and self._paper.live:
            self._paper.note("(the answer from its beginning:)", "dim")
        self._shown = ""

    def _replied(self, event: ReplyFinished) -> None:
        message = None if event.message is msgspec.UNSET else event.message
        whole = message.text if message else self._shown
        self._calls = {call.id: call for call in message.tool_calls} if message else {}
        self._do("")
        if self._paper.live:
            if whole != self._shown:
                self._say(whole.removeprefix(self._shown))
            self._paper.close()
        elif event.stop == "tool_calls" and whole.strip():
            self._paper.note(whole.strip(), "dim")

    def _tool_started(self, event: ToolStarted) -> None:
        self._running[event.turn, event.index] = describe(event.call), event.at
        self._do(describe(event.call))

    def _tool_output(self, event: ToolOutput) -> None:
        what, _ = self._running.get((event.turn, event.index), ("", 0))
        if what and (last := event.text.strip().rpartition("\n")[2]):
            self._doing = f"{what}: {last[-_LONGEST:]}"

    def _tool_finished(self, event: ToolFinished) -> None:
        call = self._calls.get(event.call_id)
        otherwise = describe(call) if call else event.name, event.at
        what, at = self._running.pop((event.turn, event.index), otherwise)
        self._do("")
        text = f"{MARKS[event.status]} {what}"
        if event.at - at >= 1000:
            text += f" ({(event.at - at) / 1000:.1f} s)"
        result = None if event.result is msgspec.UNSET else event.result
        if event.status == "unknown":
            text += ": nobody knows how far it came when the program stopped; check before repeating it"
        elif event.status != "done" and result:
            text += f": {why_failed(result)}"
        self._paper.note(text, STYLES[event.status])
        if result:
            for line in command_output(result):
                self._paper.note(f"  {line}", "dim")
        if result and event.status == "done":
            self._show_diff((result.data or {}).get("diff"))

    def _show_diff(self, diff: object) -> None:
        if not isinstance(diff, str) or not diff:
            return
        lines = diff.splitlines()
        for line in lines[:_DIFF_LINES]:
            self._paper.note(f"  {line}", diff_style(line))
        if len(lines) > _DIFF_LINES:
            self._paper.note(f"  … {len(lines) - _DIFF_LINES} more lines", "dim")

    def _retrying(self, event: RetryScheduled) -> None:
        self._paper.note(f"↻ {event.reason}; attempt {event.attempt} in {event.delay_seconds:.1f} s", "yellow")
        self._do(f"waiting {event.delay_seconds:.0f} s before attempt {event.attempt}")

    def _compacted(self, event: Compacted) -> None:
        self._paper.note(f"history shortened from {event.tokens_before:,} to {event.tokens_after:,} tokens", "dim")

    def _waiting(self, event: TaskWaiting) -> None:
        self._do("")
        if event.reason == "paused":
            self._paper.note(f"‖ paused; let it go on: autohands task resume {event.task}", "yellow")
        elif event.reason not in ("approval", "decision"):  # the question, and what can be answered, is shown by itself
            self._paper.note(f"‖ waits for {', '.join(event.waits) or event.reason}", "dim")

    def _run_finished(self, event: RunFinished) -> None:
        self._do("")
        if event.text and not (self._paper.live and event.text == self._shown):
            self._paper.answer(event.text)
        self._paper.close()
        if event.reason != "done":
            why = f": {event.error}" if event.error else ""
            self._paper.note(f"✗ {event.reason.replace('_', ' ')}{why}", "red")
        self._paper.note(summary(event, self._started), "dim")
        if self._hints:
            self._paper.note(next_step(event, self._session), "dim")


def describe(call: ToolCall) -> str:
    """A call on one line: the tool and what it is about."""
    arguments = call.arguments
    told = next((name for name in _TELLING if isinstance(arguments.get(name), str)), None)
    about = str(arguments[told]) if told else msgspec.json.encode(arguments).decode()
    if "destination" in arguments:
        about += f" → {arguments['destination']}"
    text = f"{call.name} {' '.join(about.split())}" if arguments else call.name
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def why_failed(result: ToolResult) -> str:
    """Why a call failed, on one line: a command's exit code, which stands below its output, else the first line."""
    lines = result.text.strip().splitlines() or [""]
    why = lines[-1].strip("[]") if _is_command(result) else lines[0]
    return why if len(why) <= _LONGEST else f"{why[:_LONGEST]}…"


def command_output(result: ToolResult) -> list[str]:
    """The last lines that a command printed: more of one that failed; nothing for other tools."""
    if not _is_command(result):
        return []
    lines = [line for line in result.text.splitlines() if line.strip()]
    if lines and re.fullmatch(_HOW_ENDED, lines[-1]):
        del lines[-1]
    count = _FAILED_LINES if result.failed else _DONE_LINES
    shown = [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines[-count:]]
    return ["…", *shown] if len(lines) > count else shown


def _is_command(result: ToolResult) -> bool:
    return "exit_code" in (result.data or {})


def summary(event: RunFinished, started: int) -> str:
    """What a run took: turns, tokens, money, time."""
    parts = [f"{event.turns} turn{'' if event.turns == 1 else 's'}", tokens(event.usage), dollars(event.micro_usd)]
    if started:
        parts.append(f"{(event.at - started) / 1000:.1f} s")
    return " · ".join(part for part in parts if part)


def next_step(event: RunFinished, session: str | None = None) -> str:
    """How to go on from the end of a run; `session` is what the person calls it."""
    if event.reason in ("failed", "attempts", "denied"):
        return f"try again from here: autohands task resume {event.task}"
    return f'go on: autohands run --session {session or event.session} "…"'


def tokens(usage: Usage) -> str:
    """The tokens of a usage, in words."""
    if not usage.input and not usage.output:
        return ""
    cached = f" ({usage.cache_read:,} cached)" if usage.cache_read else ""
    return f"{'about ' if usage.estimated else ''}{usage.input:,} tokens in{cached}, {usage.output:,} out"


def dollars(micro_usd: int) -> str:
    """An amount of money, with as many places as it needs."""
    return f"${micro_usd / 1_000_000:.2f}" if micro_usd >= 1_000_000 else f"${micro_usd / 1_000_000:.4f}"


def diff_style(line: str) -> str:
    """The style of a line of a unified diff."""
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "code"}.get(line[:1], "")
