"""Ask for something and watch it happen: the answer as it streams, and the tools as they are called.

With a key in the environment a real model does the work; without one a script plays the model. The tools are real.
"""

import asyncio
import os
import tempfile
from pathlib import Path

import autohands
from autohands.testing.script import call
from autohands.testing.scripted import Scripted

HAIKU = "Two hands in the dark\nkeep the ledger of the day:\nnothing lost, none twice.\n"
SCRIPT = Scripted(
    call("write_file", says="I will write it down. ", path="haiku.txt", content=HAIKU),
    "There is a haiku about hands in haiku.txt.",
)
MODEL = None if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("OPENAI_API_KEY") else "scripted/model"


async def main(place: Path) -> None:
    async with autohands.open(home=place / "home", workspace=place, config={"model": MODEL}) as hands:
        hands.providers.add("example", (SCRIPT.name, SCRIPT))
        prompt = "Write a haiku about hands into haiku.txt."
        async for event in hands.run(prompt, consent="workspace"):
            match event:
                case autohands.TextDelta(text=text):
                    print(text, end="", flush=True)
                case autohands.ToolStarted(call=tool_call):
                    print(f"\n· {tool_call.name} {tool_call.arguments.get('path', '')}")
                case autohands.RunFinished(reason=reason, turns=turns):
                    print(f"\n[{reason} after {turns} turns]")
    print((place / "haiku.txt").read_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))
