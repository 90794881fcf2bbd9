"""History is a fold of recorded steps: what was live and what is read back are the same messages."""

from __future__ import annotations

import msgspec

from autohands.protocols.messages import Message, Reply, Text, ToolCall, ToolReturn, user
from autohands.protocols.records import Step, Word
from autohands.protocols.tool import ToolResult
from autohands.runtime.history import GO_ON, INTERRUPTED, History, fold, is_cut_short, read_turns


def step(turn: int, index: int, output: object, *, kind: str = "tool", status: str = "done") -> Step:
    """A recorded step."""
    encoded = None if output is None else msgspec.json.encode(output)
    return Step(turn=turn, index=index, kind=kind, name="x", status=status, output=encoded)  # type: ignore[arg-type]


def said(text: str, *calls: ToolCall, stop: str = "end") -> Reply:
    """A reply."""
    parts = (*((Text(text),) if text else ()), *calls)
    return Reply(Message("assistant", parts), stop="tool_calls" if calls else stop)  # type: ignore[arg-type]


OPENING = step(0, 0, [user("do it")], kind="opening")
ONE, TWO = ToolCall("1", "a", {}), ToolCall("2", "b", {})


def test_a_finished_task_folds_to_pairs_of_calls_and_results() -> None:
    history = History()
    steps = [
        OPENING,
        step(1, 0, said("", ONE, TWO), kind="model"),
        step(1, 1, ToolResult("one")),
        step(1, 2, ToolResult("two", failed=True), status="failed"),
        step(2, 0, said("done"), kind="model"),
    ]
    fold(history, steps, [Word(id=1, text="faster", turn=2)], ended=True)
    assert history.messages == [
        user("do it"),
        Message("assistant", (ONE, TWO)),
        Message("tool", (ToolReturn("1", "one"), ToolReturn("2", "two", failed=True))),
        Message("user", (Text("faster"),)),
        Message("assistant", (Text("done"),)),
    ]


def test_open_calls_stay_open_while_the_task_has_not_ended() -> None:
    history = History()
    steps = [OPENING, step(1, 0, said("", ONE, TWO), kind="model"), step(1, 1, ToolResult("one"))]
    turns = fold(history, steps, [], ended=False)
    assert turns[-1].results == [ToolResult("one"), None]
    assert history.messages[-1].role == "assistant"


def test_pr11_a_call_without_a_result_gets_one_when_the_task_is_over() -> None:
    history = History()
    steps = [OPENING, step(1, 0, said("", ONE), kind="model"), step(1, 1, None, status="started")]
    fold(history, steps, [], ended=True)
    assert history.messages[-1] == Message("tool", (ToolReturn("1", INTERRUPTED, failed=True),))


def test_an_answer_that_was_cut_short_is_followed_by_the_request_to_go_on() -> None:
    history = History()
    steps = [
        OPENING,
        step(1, 0, said("half", stop="length"), kind="model"),
        step(2, 0, said("whole"), kind="model"),
    ]
    fold(history, steps, [], ended=True)
    assert [message.text for message in history.messages] == ["do it", "half", GO_ON, "whole"]


def test_pr12_what_counts_as_cut_short() -> None:
    assert is_cut_short(said("  "))
    assert is_cut_short(said("x", stop="length"))
    assert not is_cut_short(said("x"))
    assert not is_cut_short(said("", stop="pause"))
    assert not is_cut_short(said("", ONE))


def test_an_empty_reply_is_not_sent_back() -> None:
    history = History()
    history.reply(said(""))
    assert history.messages == []


def test_steps_are_read_in_any_order_and_the_opening_may_be_missing() -> None:
    opening, turns = read_turns([step(1, 1, ToolResult("r")), step(1, 0, said("", ONE), kind="model")])
    assert opening is None
    assert turns[0].results == [ToolResult("r")]
