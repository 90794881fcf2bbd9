"""Real processes for the walks: the command line, and a fake model service that writes down what it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autohands.testing.script import Turn

AUTOHANDS = str(Path(sys.executable).with_name("autohands"))
WAIT_SECONDS = 40


class Service(Struct, frozen=True):
    """A running fake service: its address, and the file with a line for each request."""

    url: str
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes the command line ask it."""
        return {
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": "sk-test",
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "sk-ant-test",
        }

    def requests(self) -> list[dict[str, Any]]:
        """Every request so far, in order."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def serving(directory: Path, turns: list[Turn]) -> Iterator[Service]:
    """A fake service in a process of its own that plays `turns` to each conversation."""
    script, log = directory / "turns.json", directory / "requests.jsonl"
    script.write_bytes(msgspec.json.encode(turns))
    log.touch()
    command = [sys.executable, "-m", "autohands.testing.vendors", "--script", str(script), "--log", str(log)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    try:
        yield Service(json.loads(process.stdout.readline())["url"], log)
    finally:
        process.stdin.close()
        process.wait(WAIT_SECONDS)
        process.stdout.close()


def environment(home: Path, service: Service | None = None, **more: str) -> dict[str, str]:
    """A small environment for the command line."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_START") if name in os.environ}
    return {**kept, "AUTOHANDS_HOME": str(home), **(service.environment if service else {}), **more}


def autohands(*arguments: str, env: dict[str, str], cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [AUTOHANDS, *arguments], env=env, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=WAIT_SECONDS
    )


def lines(output: str) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in output.splitlines()]
