"""The scripted provider and the scripts."""

from pathlib import Path

import pytest

from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.messages import Message, Reply, Text, ToolCall, user
from autohands.protocols.provider import Delta, ModelInfo, Replied, Request, ThinkingPiece
from autohands.testing.script import ScriptedCall, Turn, call, calls, read_script, say, words, write_script
from autohands.testing.scripted import Scripted

REQUEST = Request(model="m", system="", messages=(user("Go."),))


async def ask(provider: Scripted) -> tuple[list[Delta], Reply]:
    deltas = [delta async for delta in provider.stream(REQUEST)]
    last = deltas.pop()
    assert isinstance(last, Replied)
    return deltas, last.reply


async def test_it_says_what_the_script_says() -> None:
    whole = Reply(Message("assistant", (Text("whole"),)))
    provider = Scripted(
        "text",
        call("read_file", path="a.txt", says="I read."),
        calls(ScriptedCall("f"), ScriptedCall("g", "{broken")),
        whole,
        lambda request: request.messages[0].text,
        say("said", thinking="I think."),
    )
    assert (await ask(provider))[1].message.text == "text"
    reply = (await ask(provider))[1]
    assert reply.message.parts == (Text("I read."), ToolCall("call_1_0", "read_file", {"path": "a.txt"}))
    assert reply.stop == "tool_calls"
    first, second = (await ask(provider))[1].tool_calls
    assert (first.arguments, first.invalid) == ({}, None)
    assert second.invalid
    assert (await ask(provider))[1] is whole
    assert (await ask(provider))[1].message.text == "Go."
    deltas, _ = await ask(provider)
    assert [delta.text for delta in deltas if isinstance(delta, ThinkingPiece)] == ["I ", "think."]
    assert provider.requests == [REQUEST] * 6


async def test_it_raises_what_the_script_says_and_at_its_end() -> None:
    provider = Scripted(RetryableError("busy"))
    with pytest.raises(RetryableError, match="busy"):
        await ask(provider)
    with pytest.raises(ProviderError, match="over after 1 replies"):
        await ask(provider)


def test_it_can_be_a_dear_model() -> None:
    dear = ModelInfo(name="dear", input_price=1_000_000)
    assert Scripted(model=dear).describe("x") is dear
    assert Scripted().describe("x").input_price == 0


def test_a_script_survives_a_file(tmp_path: Path) -> None:
    script = [say("a"), Turn(calls=(ScriptedCall("f", {"x": 1}, "id"),), faults=("429",), pause_seconds=0.5)]
    write_script(tmp_path / "script.json", script)
    assert read_script(tmp_path / "script.json") == script


def test_words_are_the_text() -> None:
    text = "  Grüße,\n\n one  two\t"
    assert "".join(words(text)) == text
    assert words("") == []
