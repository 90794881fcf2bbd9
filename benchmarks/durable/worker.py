"""A program that is measured: `worker.py HOME submit|resume|idle [SECONDS]`; it tells what it does as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator

import autohands
from autohands.protocols.messages import Message, Reply, Text
from autohands.protocols.provider import Delta, ModelInfo, Replied, Request
from autohands.protocols.task import Task


def tell(what: str, **more: float) -> None:
    """A line, at once."""
    print(json.dumps({"what": what, **more}), flush=True)


class Silent:
    """A provider that says that it was asked, and answers when told to. Implements `LLMProvider`."""

    name = "silent"
    available = True
    default_model = "silent"

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers

    def describe(self, model: str) -> ModelInfo:
        """It costs nothing."""
        return ModelInfo(name=model, context_tokens=100_000, output_tokens=1000, input_price=0, output_price=0)

    async def models(self) -> list[ModelInfo]:
        """Its one model."""
        return [self.describe("silent")]

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Tell, and answer or wait for ever."""
        del request
        tell("running")
        if not self._answers:
            await asyncio.Event().wait()
        yield Replied(Reply(Message("assistant", (Text("done"),))))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main(home: str, mode: str, seconds: float) -> None:
    """Open, and do what was asked."""
    async with autohands.open(home, home, {"model": "silent/silent"}, shared=True) as hands:
        hands.kernel.registries.providers.add("bench", ("silent", Silent(answers=mode == "resume")))
        tell("open")
        if mode == "idle":
            await asyncio.sleep(1)
            before = _cpu()
            await asyncio.sleep(seconds)
            tell("idled", cpu=_cpu() - before)
        elif mode == "submit":
            record = await hands.submit(Task(prompt="do it"))
            async for _ in hands.follow(record.id):
                pass
        else:
            while await hands.storage.tasks(states=["ready", "running", "blocked"]):
                await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 0.0))
