"""Runs the real program against a fake model service, and reads what it says."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from msgspec import Struct

from autohands.testing.vendors import FakeVendors

PATIENCE_SECONDS = 30.0


class Done(Struct, frozen=True):
    """A process that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Standard output as one event a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(fake: FakeVendors | None = None, **more: str) -> dict[str, str]:
    """This process's environment, with keys and addresses for the fake service."""
    found = {**os.environ, **more}
    if fake:
        found |= {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": fake.openai_url}
        found |= {"ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": fake.url}
    return found


async def start(
    *arguments: str, fake: FakeVendors | None = None, directory: Path | None = None, **more: str
) -> asyncio.subprocess.Process:
    """Start a command with pipes as its streams."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "autohands", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(fake, **more),
        cwd=directory,
        limit=1 << 20,
    )


async def run(
    *arguments: str, fake: FakeVendors | None = None, directory: Path | None = None, data: bytes = b"", **more: str
) -> Done:
    """Run a command to its end."""
    return await ended(await start(*arguments, fake=fake, directory=directory, **more), data)


async def ended(process: asyncio.subprocess.Process, data: bytes = b"") -> Done:
    """The end of a process; one that takes too long is killed."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await process.communicate(data)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


async def until(process: asyncio.subprocess.Process, wanted: str) -> dict[str, Any]:
    """Read the events of `run --json` up to the first of a type."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["type"] == wanted:
                return event
    raise AssertionError(f"there was no {wanted}")
