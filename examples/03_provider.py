"""A model provider of one's own: a class with a name and a stream. Nothing has to be inherited.

This one is a very small mind: asked about a file, it reads it and counts its words.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import autohands
from autohands.protocols.messages import Message, Part, Reply, Text, ToolCall, ToolReturn, Usage
from autohands.protocols.provider import Delta, ModelInfo, Replied, Request, TextPiece
from autohands.sdk import Extension, Host


class Counter:
    """Implements `LLMProvider`."""

    name = "counter"
    default_model = "small"
    available = True

    def describe(self, model: str) -> ModelInfo:
        return ModelInfo(name=model, context_tokens=8_000, input_price=0, output_price=0)

    async def models(self) -> list[ModelInfo]:
        return [self.describe("small")]

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        part = self._think(request.messages[-1])
        if isinstance(part, Text):
            yield TextPiece(part.text)
        yield Replied(Reply(Message("assistant", (part,)), usage=Usage(input=20, output=10)))

    def _think(self, last: Message) -> Part:
        for part in last.parts:
            if isinstance(part, ToolReturn):
                return Text(f"It has {len(part.text.split())} words.")
        found = re.search(r"\S+\.txt", last.text)
        if found is None:
            return Text("I can only count the words of text files.")
        return ToolCall("call_1", "read_file", {"path": found[0]})


EXTENSION = Extension(name="provider-counter", version="1.0.0", summary="A model that counts words.")


@EXTENSION.setup
async def run(host: Host, config: None) -> AsyncIterator[None]:
    host.add_provider(Counter())
    yield


async def main(place: Path) -> None:
    (place / "poem.txt").write_text("Rose is a rose is a rose is a rose.\n")
    async with autohands.open(home=place / "home", workspace=place, config={"model": "counter/small"}) as hands:
        await hands.kernel.load(EXTENSION)
        for question in ("How long is poem.txt?", "And what is the meaning of life?"):
            print(question, "–", await hands.ask(question, session="chat"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))
