"""Recording a conversation, and playing it again."""

import json
import os
from pathlib import Path

import pytest

from autohands.extensions.provider_replay import ReplayConfig, extension
from autohands.extensions.provider_replay.provider import RecordingProvider, ReplayProvider
from autohands.extensions.provider_replay.recording import Head, Line, append, shipped_names
from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Message, Reply, Text, Thinking, ToolReturn, user
from autohands.protocols.provider import Delta, LLMProvider, Recorder, Replied, Request, TextPiece, ThinkingPiece
from autohands.sdk import Extension
from autohands.testing.contracts.extension import ExtensionContract
from autohands.testing.host import NotingHost
from autohands.testing.script import call, say
from autohands.testing.scripted import Scripted


async def ask(provider: LLMProvider, model: str, *messages: Message) -> Reply:
    deltas: list[Delta] = [
        delta async for delta in provider.stream(Request(model=model, system="s", messages=tuple(messages)))
    ]
    last = deltas.pop()
    assert isinstance(last, Replied)
    return last.reply


async def converse(provider: LLMProvider, model: str, result: str = "12 lines") -> list[Reply]:
    """Two turns with a tool result between them."""
    opening = user("Count the lines.")
    first = await ask(provider, model, opening)
    answered = Message("tool", tuple(ToolReturn(each.id, result) for each in first.tool_calls))
    return [first, await ask(provider, model, opening, first.message, answered)]


@pytest.fixture
async def recorded(tmp_path: Path) -> tuple[str, list[Reply]]:
    """A recording's file and the replies in it."""
    file = tmp_path / "runs" / "count.jsonl"
    scripted = Scripted(call("exec", command="wc -l a.txt", says="I count."), say("Twelve.", thinking="Easy."))
    provider = ReplayProvider().recording(scripted, str(file))
    return str(file), await converse(provider, "m")


async def test_a_recording_is_played_word_for_word(recorded: tuple[str, list[Reply]]) -> None:
    file, replies = recorded
    assert await converse(ReplayProvider(), file) == replies


async def test_it_is_json_lines_that_a_person_can_read_and_nobody_else(recorded: tuple[str, list[Reply]]) -> None:
    lines = [json.loads(line) for line in Path(recorded[0]).read_text().splitlines()]
    assert lines[0] == {"recording": 1, "prompt": "Count the lines.", "model": "scripted/m", "pace_seconds": 0.0}
    assert [line["turn"] for line in lines[1:]] == [0, 1]
    assert lines[2]["said"] == ['call: exec {"command":"wc -l a.txt"}', "result: 12 lines"]
    assert Path(recorded[0]).stat().st_mode & 0o777 == 0o600


async def test_text_and_thinking_come_word_by_word(recorded: tuple[str, list[Reply]]) -> None:
    file, (first, _) = recorded
    answered = Message("tool", (ToolReturn(first.tool_calls[0].id, "12 lines"),))
    asked = Request(model=file, system="", messages=(user("Count the lines."), first.message, answered))
    deltas = [delta async for delta in ReplayProvider(0.001).stream(asked)]
    assert deltas[:2] == [ThinkingPiece("Easy."), TextPiece("Twelve.")]


async def test_a_result_that_differs_is_an_error_that_shows_the_difference(recorded: tuple[str, list[Reply]]) -> None:
    with pytest.raises(ProviderError) as caught:
        await converse(ReplayProvider(), recorded[0], result="13 lines")
    assert caught.value.kind == "mismatch"
    for part in ("count.jsonl", "turn 2, part 2", "-result: 12 lines", "+result: 13 lines"):
        assert part in caught.value.text
    assert "--record" in (caught.value.hint or "")


async def test_another_prompt_and_a_turn_too_many_are_errors(recorded: tuple[str, list[Reply]]) -> None:
    file, (first, second) = recorded
    with pytest.raises(ProviderError, match=r"\+user: Count the words\.") as caught:
        await ask(ReplayProvider(), file, user("Count the words."))
    assert caught.value.kind == "mismatch"
    with pytest.raises(ProviderError, match="ends before turn 3"):
        await ask(ReplayProvider(), file, user("x"), first.message, user("y"), second.message, user("z"))


async def test_a_run_that_was_interrupted_goes_on_in_another_process(recorded: tuple[str, list[Reply]]) -> None:
    file, (first, second) = recorded
    answered = Message("tool", (ToolReturn(first.tool_calls[0].id, "12 lines"),))
    assert await ask(ReplayProvider(), file, user("Count the lines."), first.message, answered) == second


async def test_one_file_may_hold_several_conversations(tmp_path: Path) -> None:
    file = tmp_path / "two.jsonl"
    provider = RecordingProvider(Scripted("one", "two"), file)
    await ask(provider, "m", user("a"))
    await ask(provider, "m", user("b"))
    replay = ReplayProvider()
    assert (await ask(replay, str(file), user("b"))).message.text == "two"
    assert (await ask(replay, str(file), user("a"))).message.text == "one"


async def test_a_line_without_said_takes_any_request_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "any.jsonl"
    append(file, Head(), Line(0, None, Reply(Message("assistant", (Thinking("t"), Text("any"))))))
    replay = ReplayProvider()
    assert (await ask(replay, str(file), user("whatever"))).message.text == "any"
    file.unlink()
    append(file, Line(0, None, Reply(Message("assistant", (Text("other"),)))))
    os.utime(file, (1, 1))
    assert (await ask(replay, str(file), user("whatever"))).message.text == "other"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "No such file"),
        (b'{"recording": 1}\n{"turn": 0}\n', "line 2: not a line of a recording"),
        (b"\xff\xfe\n", "line 1"),
        (b'{"recording": 1}\n\n[]\n', "line 3"),
    ],
)
async def test_what_is_no_recording_is_named_with_file_and_line(
    tmp_path: Path, content: bytes | None, text: str
) -> None:
    file = tmp_path / "broken.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ProviderError, match=text) as caught:
        await ask(ReplayProvider(), str(file), user("x"))
    assert "broken.jsonl" in caught.value.text
    assert caught.value.kind == "invalid"
    assert caught.value.hint


async def test_nothing_is_asked_that_cannot_be_recorded(tmp_path: Path) -> None:
    scripted = Scripted("never said")
    with pytest.raises(ProviderError, match="cannot be written"):
        await ask(RecordingProvider(scripted, tmp_path), "m", user("x"))
    assert scripted.requests == []


async def test_it_is_free_never_the_default_and_offers_what_is_shipped() -> None:
    replay = ReplayProvider()
    assert isinstance(replay, Recorder)
    assert (replay.name, replay.available, replay.default_model) == ("replay", True, None)
    assert replay.describe("x").input_price == replay.describe("x").output_price == 0
    assert [info.name for info in await replay.models()] == shipped_names()
    recorder = RecordingProvider(Scripted("x", name="inner"), Path("unused"))
    assert (recorder.name, recorder.available, recorder.default_model) == ("inner", True, "scripted")
    assert recorder.describe("x").name == "x"
    assert [info.name for info in await recorder.models()] == ["scripted"]


class TestExtension(ExtensionContract):
    @pytest.fixture
    def extension(self) -> Extension:
        return extension


async def test_the_extension_offers_it(tmp_path: Path) -> None:
    host = NotingHost(tmp_path)
    async for _ in extension.run(host, ReplayConfig(pace_seconds=0.5)):
        assert host.added == ["provider replay"]
