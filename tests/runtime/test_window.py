"""The window: what is estimated, what is trimmed, and that whole turns go or stay."""

from msgspec.structs import replace

from autohands.protocols.messages import Message, Text, ToolCall, ToolReturn, Usage, user
from autohands.protocols.provider import ModelInfo, Request
from autohands.protocols.records import Step
from autohands.runtime.history import History
from autohands.runtime.revisions import read_revisions, revised
from autohands.runtime.summary import Summariser
from autohands.runtime.tokens import FIRST_RATIO, Ratios
from autohands.runtime.window import Compacting, Window
from autohands.testing.scripted import Scripted

MODEL = ModelInfo(name="m", context_tokens=20_000, output_tokens=2_000)


def history_of(turns: int, size: int = 3_000) -> History:
    history = History()
    history.open([user("go")])
    for number in range(turns):
        call = ToolCall(str(number), "look", {"n": number})
        history.messages += [
            Message("assistant", (Text("on"), call)),
            Message("tool", (ToolReturn(call.id, f"{number} " + "x" * size),)),
        ]
    return history


def window(steps: list[Step], *said: str, model: ModelInfo = MODEL) -> Window:
    return Window(model, Compacting(), Ratios(), Summariser(Scripted(*said), "s"), steps.append)


def request(history: History) -> Request:
    return Request(model="m", system="s" * 3_000, messages=tuple(history.messages))


def test_what_a_service_counted_is_believed_and_the_rest_is_measured() -> None:
    history, inside = history_of(3), window([])
    whole = request(history)
    sent = history.prefix.measure(whole)
    guess = inside.estimate(history, stands=True)
    assert guess == int((history.prefix.fixed_size + history.prefix.size()) * FIRST_RATIO)
    history.sent = replace(sent, tokens=2_500)
    assert inside.estimate(history, stands=True) == 2_500
    history.messages.append(user("y" * 4_000))
    history.prefix.measure(request(history))
    longer = inside.estimate(history, stands=True)
    assert 3_200 < longer < 3_500
    for absurd in (0, 3, 10**9):
        history.sent = replace(sent, tokens=absurd)
        assert 3_000 < window([]).estimate(history, stands=True) < 7_000


def test_only_long_results_of_old_turns_are_trimmed_and_it_is_recorded() -> None:
    history, steps = history_of(8), list[Step]()
    before = list(history.messages)
    assert window(steps).trim(history, 9)
    texts = [part.text for message in history.messages for part in message.parts if isinstance(part, ToolReturn)]
    assert [len(text) < 600 for text in texts] == [True] * 4 + [False] * 4
    assert "read_result shows them: call '0'" in texts[0]
    (step,) = steps
    assert (step.kind, step.turn, step.index) == ("context", 9, -1)
    assert revised(before, read_revisions(steps)[9][0]) == history.messages
    assert not window(steps).trim(history, 9)


def test_what_is_not_worth_a_cache_miss_is_left() -> None:
    history = history_of(5)
    assert not window([]).trim(history, 6)
    assert window([]).trim(history_of(5, 9_000), 6, hard=True)


async def test_old_turns_give_way_whole() -> None:
    history, steps = history_of(8), list[Step]()
    tail = history.messages[-8:]
    assert await window(steps, "sum").sum_up(history, 9)
    assert history.messages[1:] == tail
    assert history.messages[0].role == "user"
    assert "sum" in history.messages[0].text
    assert steps[0].usage == Usage(100, 1)


async def test_there_must_be_something_to_gain() -> None:
    assert not await window([], "sum").sum_up(history_of(4), 5)
    assert not await window([], "sum").sum_up(history_of(8, 10), 9)
    history = history_of(8)
    one = window([], "sum", "sum")
    assert await one.sum_up(history, 9)
    assert not await one.sum_up(history, 9)


def test_absurd_models_have_a_window_too() -> None:
    for model in (ModelInfo(name="m", context_tokens=1, output_tokens=0), ModelInfo(name="m", output_tokens=10**9)):
        inside = window([], model=model)
        assert inside.usable >= 1
        assert inside.output_tokens is None or 0 < inside.output_tokens <= model.context_tokens
