"""Approvals in code, and tools without a model.

Every call that is not a `read` asks. Here a program answers in place of a person: it allows files, and no commands.
"""

import asyncio
import os
import tempfile
from pathlib import Path

import autohands
from autohands.testing.script import call
from autohands.testing.scripted import Scripted

SCRIPT = Scripted(
    call("write_file", path="notes.md", content="# Notes\n\n- water the plants\n"),
    call("exec", command="date >> notes.md"),
    "notes.md is written, without the date: the command was not allowed.",
)
MODEL = None if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("OPENAI_API_KEY") else "scripted/model"


async def main(place: Path) -> None:
    async with autohands.open(home=place / "home", workspace=place, config={"model": MODEL}) as hands:
        hands.providers.add("example", (SCRIPT.name, SCRIPT))
        prompt = "Note in notes.md that the plants need water, then append the date with a shell command."
        async for event in hands.run(prompt):
            match event:
                case autohands.ApprovalRequested(approval=approval, call=asked, effect=effect, preview=preview):
                    allow = asked.name != "exec"
                    print(f"{asked.name} ({effect}): {'yes' if allow else 'no'}")
                    print(*(f"  | {line}" for line in preview.splitlines()), sep="\n")
                    await hands.decide(approval, allow=allow)
                case autohands.RunFinished(text=text):
                    print(text)

        result = await hands.call_tool("read_file", {"path": "notes.md", "limit": 1})
        print("first line:", result.text.splitlines()[0])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))
