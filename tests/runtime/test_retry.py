"""Trying again: when, how long, how often, and when not."""

import pytest

from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.messages import Reply, user
from autohands.protocols.provider import Delta, Replied, Request, Retrying, TextPiece
from autohands.runtime.retry import Retry, RetryPolicy
from autohands.testing.clock import FakeClock
from autohands.testing.scripted import Scriptable, Scripted

REQUEST = Request(model="m", system="", messages=(user("Go."),))
BUSY = RetryableError("busy")


def asked_to_wait(seconds: float) -> RetryableError:
    return RetryableError("busy", retry_after_seconds=seconds)


class Trial:
    """A scripted provider behind `Retry`, on a clock that needs no time, with a draw that is always the same."""

    def __init__(self, *replies: Scriptable, draw: float = 1.0, **policy: float) -> None:
        self.provider = Scripted(*replies)
        self.clock = FakeClock(restless=True)
        settings = RetryPolicy(**policy)  # type: ignore[arg-type]
        self.retry = Retry(self.provider, settings, sleep=self.clock.sleep, draw=lambda: draw)

    async def run(self) -> list[Delta]:
        return [delta async for delta in self.retry.stream(REQUEST)]


async def test_an_answer_passes_through_untouched() -> None:
    trial = Trial("Hello there.")
    deltas = await trial.run()
    assert [delta.text for delta in deltas if isinstance(delta, TextPiece)] == ["Hello ", "there."]
    assert isinstance(deltas[-1], Replied)
    assert trial.clock.slept == []


async def test_pr05_passing_faults_are_tried_again_and_each_wait_is_told() -> None:
    trial = Trial(BUSY, BUSY, "Hello.")
    deltas = await trial.run()
    assert [delta for delta in deltas if isinstance(delta, Retrying)] == [
        Retrying("busy", 1.0, 2),
        Retrying("busy", 2.0, 3),
    ]
    assert trial.clock.slept == [1.0, 2.0]
    assert isinstance(deltas[-1], Replied)


@pytest.mark.parametrize(("draw", "waits"), [(0.0, [0.0, 0.0, 0.0]), (0.5, [0.5, 1.0, 2.0]), (1.0, [1.0, 2.0, 4.0])])
async def test_pr05_waits_grow_and_are_drawn_at_random(draw: float, waits: list[float]) -> None:
    trial = Trial(BUSY, BUSY, BUSY, "Hello.", draw=draw)
    await trial.run()
    assert trial.clock.slept == waits


async def test_pr05_what_the_service_asks_for_is_kept_and_never_undercut() -> None:
    trial = Trial(asked_to_wait(7.0), "Hello.", draw=0.0)
    await trial.run()
    assert trial.clock.slept == [7.0]


async def test_pr05_a_day_is_capped() -> None:
    trial = Trial(asked_to_wait(86_400.0), "Hello.", draw=0.0)
    await trial.run()
    assert trial.clock.slept == [60.0]


async def test_pr05_attempts_are_counted() -> None:
    trial = Trial(*[BUSY] * 10, attempts=4)
    with pytest.raises(RetryableError, match="busy"):
        await trial.run()
    assert len(trial.provider.requests) == 4
    assert len(trial.clock.slept) == 3


async def test_pr05_the_waits_of_one_call_have_a_budget() -> None:
    trial = Trial(*[asked_to_wait(50.0)] * 10, draw=0.0, total_wait_seconds=120.0)
    with pytest.raises(RetryableError):
        await trial.run()
    assert trial.clock.slept == [50.0, 50.0]


async def test_pr05_final_faults_are_not_tried_again() -> None:
    trial = Trial(ProviderError("no credit", kind="spend"), "Hello.")
    with pytest.raises(ProviderError, match="no credit"):
        await trial.run()
    assert len(trial.provider.requests) == 1


async def test_pr01_an_answer_that_broke_off_half_told_is_not_told_again() -> None:
    class BreaksOff(Scripted):
        async def stream(self, request: Request):  # type: ignore[no-untyped-def]
            self.requests.append(request)
            yield TextPiece("Half of ")
            raise BUSY

    provider = BreaksOff()
    told: list[Delta] = []
    with pytest.raises(RetryableError):
        await listen(Retry(provider, sleep=FakeClock(restless=True).sleep), told)
    assert told == [TextPiece("Half of ")]
    assert len(provider.requests) == 1


async def listen(provider: Retry, told: list[Delta]) -> None:
    async for delta in provider.stream(REQUEST):
        told.append(delta)  # noqa: PERF401  what was told before the error counts


async def test_a_closed_stream_closes_the_one_it_wraps() -> None:
    closed = []

    class Watched(Scripted):
        async def stream(self, request: Request):  # type: ignore[no-untyped-def]
            try:
                yield TextPiece("a")
                yield TextPiece("b")
            finally:
                closed.append(True)

    deltas = Retry(Watched()).stream(REQUEST)
    await anext(deltas)
    await deltas.aclose()  # type: ignore[attr-defined]
    assert closed == [True]


async def test_it_is_the_provider_it_wraps() -> None:
    retry = Retry(Scripted("x", name="mine"))
    assert (retry.name, retry.default_model, retry.available) == ("mine", "scripted", True)
    assert retry.describe("m").name == "m"
    assert [info.name for info in await retry.models()] == ["scripted"]
    replied = [delta async for delta in retry.stream(REQUEST)][-1]
    assert isinstance(replied, Replied)
    assert isinstance(replied.reply, Reply)
