"""What a person sees of a run, and what a script gets."""

import io
from collections.abc import Iterable
from typing import Literal

import pytest

from autohands.cli.paper import TerminalPaper, fitting
from autohands.cli.render import JsonScreen, TextScreen, describe, dollars, next_step, tokens
from autohands.protocols.events import (
    Event,
    ReplyFinished,
    Reset,
    RetryScheduled,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnStarted,
    Unknown,
)
from autohands.protocols.messages import Message, Text, ToolCall, Usage
from autohands.protocols.tool import ToolResult

READ = ToolCall("c1", "read_file", {"path": "a.txt"})
EDIT = ToolCall("c2", "edit_file", {"path": "a.txt", "old_string": "x"})
DIFF = "--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-x\n+y"


class Stream(io.StringIO):
    """A stream that is a terminal or is none."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def said(text: str, stop: str = "end") -> ReplyFinished:
    return ReplyFinished(turn=1, stop=stop, usage=Usage(), message=Message("assistant", (Text(text),)))


def shown(events: Iterable[Event | Unknown], *, terminal: bool) -> tuple[str, str]:
    out, err = Stream(terminal=terminal), Stream(terminal=terminal)
    screen = TextScreen(TerminalPaper(out, err))
    for event in events:
        screen.show(b"", event)
    return out.getvalue(), err.getvalue()


STORY: list[Event | Unknown] = [
    RunStarted(agent="general", model="fake/small", workspace="/w", at=1_000),
    TurnStarted(turn=1),
    TextDelta(text="Let me look.", turn=1),
    said("Let me look.", "tool_calls"),
    ToolStarted(turn=1, index=1, call=READ, effect="read", at=2_000),
    ToolFinished(turn=1, index=1, call_id="c1", name="read_file", status="done", at=4_500, result=ToolResult("x")),
    TurnStarted(turn=2),
    TextDelta(text="It says ", turn=2),
    TextDelta(text="**x**.", turn=2, offset=8),
    said("It says **x**."),
    RunFinished(reason="done", text="It says **x**.", turns=2, usage=Usage(input=1200, output=30), at=9_000),
]


def test_a_pipe_gets_the_final_answer_and_nothing_else() -> None:
    out, err = shown(STORY, terminal=False)
    assert out == "It says **x**.\n"
    assert "Let me look." in err
    assert "✓ read_file a.txt (2.5 s)" in err
    assert "2 turns · 1,200 tokens in, 30 out · $0.0000 · 8.0 s" in err
    assert "\x1b" not in out + err


def test_a_terminal_sees_it_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out, err = shown(STORY, terminal=True)
    assert out == "Let me look.\nIt says \x1b[1m**\x1b[0m\x1b[1mx\x1b[0m\x1b[1m**\x1b[0m.\n"
    assert "\x1b[32m✓ read_file a.txt (2.5 s)\x1b[0m" in err
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(STORY, terminal=True)[0] == "Let me look.\nIt says **x**.\n"


def test_text_that_is_told_twice_is_shown_once() -> None:
    events: list[Event | Unknown] = [
        TurnStarted(turn=1),
        TextDelta(text="one ", turn=1),
        TextDelta(text="one two", turn=1, offset=0),
        said("one two three"),
        RunFinished(reason="done", text="one two three"),
    ]
    assert shown(events, terminal=True)[0].replace("\n", "") == "one two three"


def test_after_a_reset_the_answer_comes_again_from_its_beginning() -> None:
    events: list[Event | Unknown] = [TurnStarted(turn=1), TextDelta(text="lost", turn=1), Reset(turn=1)]
    events += [said("the whole"), RunFinished(reason="done", text="the whole")]
    out, err = shown(events, terminal=True)
    assert out.splitlines() == ["lost", "the whole"]
    assert "from its beginning" in err


def test_what_went_wrong_is_told() -> None:
    events: list[Event | Unknown] = [
        RetryScheduled(turn=1, attempt=2, reason="HTTP 529", delay_seconds=1.5),
        ToolStarted(turn=1, index=1, call=READ, effect="read"),
        ToolFinished(
            turn=1, index=1, call_id="c1", name="read_file", status="failed", result=ToolResult("not_found: a\nmore")
        ),
        ToolFinished(turn=1, index=2, call_id="c2", name="exec", status="denied", result=ToolResult("denied: no")),
        ToolFinished(turn=1, index=3, call_id="c3", name="exec", status="unknown"),
        RunFinished(reason="turn_limit", error="the limit of turns is reached", session="ses_1"),
    ]
    err = shown(events, terminal=False)[1]
    assert "↻ HTTP 529; attempt 2 in 1.5 s" in err
    assert "✗ read_file a.txt: not_found: a\n" in err
    assert "⊘ exec: denied: no" in err
    assert "? exec: nobody knows how far it came" in err
    assert "✗ turn limit: the limit of turns is reached" in err
    assert "autohands run --session ses_1" in err
    err = shown([RunFinished(reason="failed", error="x", task="task_1")], terminal=False)[1]
    assert "autohands task resume task_1" in err


def test_a_command_leaves_the_end_of_its_output_and_how_it_failed() -> None:
    def end(status: Literal["done", "failed"], text: str) -> str:
        result = ToolResult(text, {"exit_code": 0 if status == "done" else 3}, failed=status == "failed")
        event = ToolFinished(turn=1, index=1, call_id="c", name="exec", status=status, result=result)
        return shown([event], terminal=False)[1]

    many = "\n".join(f"line {number}" for number in range(1, 9))
    assert end("failed", f"{many}\n[exit code 3]") == (
        "✗ exec: exit code 3\n  …\n  line 4\n  line 5\n  line 6\n  line 7\n  line 8\n"
    )
    assert end("done", many) == "✓ exec\n  …\n  line 6\n  line 7\n  line 8\n"
    assert end("done", "[exit code 0]") == "✓ exec\n"
    assert end("failed", "[1, 2]\n[exit code 3]") == "✗ exec: exit code 3\n  [1, 2]\n"


def test_the_next_step_calls_a_session_by_its_name() -> None:
    event = RunFinished(reason="done", session="ses_1")
    assert (next_step(event), next_step(event, "s1")) == (
        'go on: autohands run --session ses_1 "…"',
        'go on: autohands run --session s1 "…"',
    )


def test_an_edit_shows_its_diff() -> None:
    done = ToolFinished(
        turn=1, index=1, call_id="c2", name="edit_file", status="done", result=ToolResult("ok", {"diff": DIFF})
    )
    err = shown([ToolStarted(turn=1, index=1, call=EDIT, effect="compensable"), done], terminal=False)[1]
    assert "  -x\n  +y\n" in err


def test_nothing_that_a_model_says_moves_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    evil = "\x1b[2J\u202e\x07"
    call = ToolCall("c", "exec", {"command": f"ls {evil}"})
    events: list[Event | Unknown] = [
        TurnStarted(turn=1),
        TextDelta(text=evil, turn=1),
        said(evil),
        ToolStarted(turn=1, index=1, call=call, effect="irreversible"),
        ToolFinished(turn=1, index=1, call_id="c", name="exec", status="failed", result=ToolResult(evil)),
        RunFinished(reason="failed", error=evil),
    ]
    text = "".join(shown(events, terminal=True)).replace("\r\x1b[2K", "")
    assert not {"\x1b", "\u202e", "\x07"} & set(text)


def test_events_of_a_newer_program_are_left_out() -> None:
    assert shown([Unknown("run.danced", {})], terminal=False) == ("", "")


def test_a_script_gets_each_event_as_it_is() -> None:
    out = io.BytesIO()
    screen = JsonScreen(out)
    screen.show(b'{"type":"x"}', Unknown("x", {}))
    screen.tick()
    assert out.getvalue() == b'{"type":"x"}\n'


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (READ, "read_file a.txt"),
        (ToolCall("c", "exec", {"command": "ls\n  -l"}), "exec ls -l"),
        (ToolCall("c", "move_file", {"source": "a", "destination": "b"}), "move_file a → b"),
        (ToolCall("c", "odd", {"n": 1}), 'odd {"n":1}'),
        (ToolCall("c", "bare", {}), "bare"),
    ],
)
def test_a_call_on_one_line(call: ToolCall, text: str) -> None:
    assert describe(call) == text


def test_numbers_for_people() -> None:
    assert tokens(Usage(input=1000, output=5, cache_read=900)) == "1,000 tokens in (900 cached), 5 out"
    assert tokens(Usage()) == ""
    assert (dollars(1234), dollars(2_500_000)) == ("$0.0012", "$2.50")
    assert (fitting("日本語", 4), fitting("abc", 4)) == ("日 …", "abc")
