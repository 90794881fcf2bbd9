"""Revisions: recorded changes of a history, in their order, with calls and results together."""

import msgspec

from autohands.protocols.messages import Message, Text, ToolCall, ToolReturn, user
from autohands.protocols.records import Step, Word
from autohands.runtime.facts import Fact
from autohands.runtime.history import History, fold
from autohands.runtime.revisions import Noted, Revision, Summed, Trimmed, read_revisions, revised

CALLS = Message("assistant", (ToolCall("1", "a", {}), ToolCall("2", "a", {})))
RESULTS = Message("tool", (ToolReturn("1", "long"), ToolReturn("2", "other")))


def context(turn: int, index: int, revision: Revision) -> Step:
    return Step(turn=turn, index=index, kind="context", name="x", status="done", output=msgspec.json.encode(revision))


def test_each_does_what_it_says_and_leaves_the_rest() -> None:
    messages = [user("go"), CALLS, RESULTS]
    trimmed = revised(messages, Trimmed({"1": "short"}))
    assert trimmed[:2] == messages[:2]
    assert trimmed[0] is messages[0]
    assert trimmed[2].parts == (ToolReturn("1", "short"), ToolReturn("2", "other"))
    assert revised(messages, Summed(1, "sum")) == [user("sum"), CALLS, RESULTS]
    assert revised(messages, Noted("later")) == [*messages, user("later")]


def test_they_are_read_in_the_order_in_which_they_were_made() -> None:
    first, second = Trimmed({"1": "x"}), Summed(2, "sum", (Fact("port 8443"),))
    assert read_revisions([context(3, -2, second), context(3, -1, first)]) == {3: [first, second]}


def test_the_fold_applies_them_before_the_words_of_their_turn() -> None:
    def model(turn: int, text: str) -> Step:
        reply = {"message": {"role": "assistant", "parts": [{"type": "text", "text": text}]}}
        return Step(turn=turn, index=0, kind="model", name="m", status="done", output=msgspec.json.encode(reply))

    opening = Step(
        turn=0, index=0, kind="opening", name="opening", status="done", output=msgspec.json.encode([user("go")])
    )
    steps = [opening, model(1, "one"), context(2, -1, Summed(1, "sum")), model(2, "two"), context(3, -1, Noted("day"))]
    history = History()
    fold(history, steps, [Word(id=1, text="word", turn=2), Word(id=2, text="late", turn=3)], ended=False)
    assert [message.text for message in history.messages] == ["sum", "one", "word", "two", "day"]
    assert history.revisions == {2: 1, 3: 1}
    assert history.messages[1] == Message("assistant", (Text("one"),))
