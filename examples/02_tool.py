"""A tool of one's own: an async function. Its name, description and JSON Schema come from its signature."""

import asyncio
import os
import tempfile
from pathlib import Path

import autohands
from autohands.sdk import Extension, ToolContext, ToolError, tool
from autohands.testing.script import call
from autohands.testing.scripted import Scripted


@tool(effect="read")
async def longest_line(ctx: ToolContext, path: str, minimum: int = 1) -> dict[str, int | str]:
    """Find the longest line of a file.

    Args:
        path: The file, relative to the workspace.
        minimum: Only lines of at least so many characters count.
    """
    async with ctx.workspace.open(path) as file:
        lines = (await file.read_text()).splitlines()
    number, line = max(enumerate(lines, 1), key=lambda each: len(each[1]), default=(0, ""))
    if len(line) < minimum:
        raise ToolError(f"no_such_line: no line of {path} has {minimum} characters")
    return {"line": number, "characters": len(line), "text": line}


EXTENSION = Extension(name="lines", version="1.0.0", summary="Looks at lines.", tools=(longest_line,))
SCRIPT = Scripted(call("longest_line", path="poem.txt"), "Line 2 is the longest; it has 24 characters.")
MODEL = None if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("OPENAI_API_KEY") else "scripted/model"


async def main(place: Path) -> None:
    (place / "poem.txt").write_text("Rose is a rose\nis a rose is a rose is a\nrose.\n")
    async with autohands.open(home=place / "home", workspace=place, config={"model": MODEL}) as hands:
        await hands.kernel.load(EXTENSION)
        hands.providers.add("example", (SCRIPT.name, SCRIPT))

        result = await hands.call_tool("longest_line", {"path": "poem.txt"})
        print("called by us: ", result.text)

        result = await hands.call_tool("longest_line", {"path": "poem.txt", "minimum": 99})
        print("failing:      ", result.text)

        answer = await hands.ask("Which line of poem.txt is the longest?")
        print("by the model: ", answer)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))
