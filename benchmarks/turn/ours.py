"""The same job by AutoHands, as an application uses it: the events of each run are read to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import autohands
from autohands.sdk import Agent, Extension, tool

from . import work

OnText: TypeAlias = Callable[[str], None]


class OurLoop:
    """Runs conversations on an open AutoHands."""

    def __init__(self, hands: autohands.Hands) -> None:
        self._hands = hands

    async def run(self, script: str, on_text: OnText) -> str:
        """One conversation in a new session; `on_text` hears each piece of text as it comes. Returns the answer."""
        answer = None
        async for event in self._hands.run(work.PROMPT, model=f"openai/{script}", agent="bench", consent="workspace"):
            match event:
                case autohands.TextDelta(text=text):
                    on_text(text)
                case autohands.RunFinished(reason="done", text=text):
                    answer = text
                case autohands.RunFinished() as end:
                    raise RuntimeError(f"the run ended with {end.reason}: {end.error}")
        if answer is None:
            raise RuntimeError("the run did not end")
        return answer


def _extension(note_turn: Callable[[], None]) -> Extension:
    look, keep = work.tool_functions(note_turn)
    return Extension(
        name="bench-tools",
        version="1.0.0",
        summary="The two tools of the benchmark and an agent that has nothing else.",
        tools=(tool(effect="read")(look), tool(effect="compensable")(keep)),
        agents=(Agent(name="bench", prompt=work.SYSTEM, tools=("look", "keep")),),
    )


def _config(url: str) -> dict[str, Any]:
    """Limits that 200 sessions of a dear model do not meet; all of them are still checked at every turn."""
    return {
        "limits": {"turns": 1_000},
        "budget": {"run": 1_000.0, "day": 1_000_000.0},
        "extensions": {"provider-openai": {"base_url": url, "api_key": "none"}},
    }


@asynccontextmanager
async def opened(url: str, note_turn: Callable[[], None], home: Path) -> AsyncIterator[OurLoop]:
    """AutoHands with its journal in `home`."""
    workspace = home / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    async with autohands.open(home=home / "state", workspace=workspace, config=_config(url)) as hands:
        await hands.kernel.load(_extension(note_turn))
        yield OurLoop(hands)
