"""A read that gives the same again says so, as long as what it gave stands in the history."""

from autohands.protocols.messages import BlobRef, ToolCall
from autohands.protocols.tool import ToolResult
from autohands.runtime.repeats import Repeats

CALL = ToolCall("1", "read_file", {"path": "a", "limit": 5})
AGAIN = ToolCall("2", "read_file", {"limit": 5, "path": "a"})
LONG = ToolResult("x" * 500)


def remembering(result: ToolResult = LONG) -> Repeats:
    repeats = Repeats()
    repeats.remember(CALL, result, 3)
    return repeats


def test_the_same_again_says_where_it_stands() -> None:
    told = remembering().answer(AGAIN, LONG)
    assert told.text.startswith("unchanged: ")
    assert "turn 3 (call 1)" in told.text


def test_what_is_not_the_same_is_given_whole() -> None:
    repeats = remembering()
    for other in (ToolResult("y" * 500), ToolResult("x" * 500, failed=True)):
        assert repeats.answer(AGAIN, other) is other
    assert repeats.answer(ToolCall("2", "read_file", {"path": "b", "limit": 5}), LONG) is LONG
    assert remembering(ToolResult("short")).answer(AGAIN, ToolResult("short")).text == "short"


def test_what_stands_there_no_more_is_given_whole() -> None:
    repeats = remembering()
    repeats.forget({"1"})
    assert repeats.answer(AGAIN, LONG) is LONG
    repeats = remembering()
    repeats.keep({"1"})
    assert repeats.answer(AGAIN, LONG) is not LONG
    repeats.keep({"9"})
    assert repeats.answer(AGAIN, LONG) is LONG


def test_the_word_that_it_is_unchanged_is_not_what_stands_there() -> None:
    repeats = remembering()
    repeats.remember(AGAIN, ToolResult("unchanged: " + "x" * 500), 4)
    assert "turn 3" in repeats.answer(AGAIN, LONG).text


def test_long_results_are_compared_by_what_was_not_shown_too() -> None:
    def cut(digest: str) -> ToolResult:
        return ToolResult("x" * 500, full=BlobRef(digest, "text/plain", 9))

    assert remembering(cut("a")).answer(AGAIN, cut("b")).full is not None
    assert remembering(cut("a")).answer(AGAIN, cut("a")).text.startswith("unchanged: ")
