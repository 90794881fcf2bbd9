"""A session that goes on where it was interrupted: what was recorded is read, not done (or paid) again.

The program is closed in the middle of a run, and opened again on the same state directory. `kill -9` leaves the same.
"""

import asyncio
import os
import tempfile
from pathlib import Path

import autohands
from autohands.testing.script import call
from autohands.testing.scripted import Scripted

SCRIPT = Scripted(
    call("write_file", path="one.txt", content="1\n"),
    call("write_file", path="two.txt", content="2\n"),
    "Both files are written.",
    "There are two files: one.txt and two.txt.",
)
MODEL = None if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("OPENAI_API_KEY") else "scripted/model"


async def begin(place: Path) -> None:
    """Start the work, and leave as soon as the first tool has ended."""
    async with autohands.open(home=place / "home", workspace=place, config={"model": MODEL}) as hands:
        hands.providers.add("example", (SCRIPT.name, SCRIPT))
        prompt = "Write 1 into one.txt; after that write 2 into two.txt."
        async for event in hands.run(prompt, session="numbers", consent="workspace"):
            if isinstance(event, autohands.ToolFinished):
                print(f"{event.name} {event.status}; closing now")
                break


async def go_on(place: Path) -> None:
    """Finish what the session has left unfinished, then ask something more."""
    async with autohands.open(home=place / "home", workspace=place, config={"model": MODEL}) as hands:
        hands.providers.add("example", (SCRIPT.name, SCRIPT))
        for task in await hands.unfinished("numbers"):
            print(f"resuming a task that is {task.state}")
            await hands.resume(task.id)
        print(await hands.ask("Which files are there now?", session="numbers"))  # waits its turn
        for record in await hands.storage.tasks():
            print(f"{record.state}: {record.task.prompt}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(begin(Path(directory)))
        asyncio.run(go_on(Path(directory)))
        print("model calls:", len(SCRIPT.requests) or "those of a real model")
