"""Starts the fake service and the measured processes, and talks to them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

Answer: TypeAlias = dict[str, float]
FOLDER = Path(__file__).parents[1]


def _start(module: str, *arguments: str, stdin: int | None = subprocess.PIPE) -> subprocess.Popen[str]:
    unwanted = ("OPENAI_", "AUTOHANDS_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return subprocess.Popen(
        [sys.executable, "-m", f"turn.{module}", *arguments],
        cwd=FOLDER,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    )


def _read(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    if not (line := process.stdout.readline()):
        raise SystemExit(f"{process.args!r} ended with status {process.wait()}")
    return line


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(30)
        finally:
            process.kill()
        assert process.stdout
        process.stdout.close()


@contextmanager
def fake_service() -> Iterator[str]:
    """The base URL of a running fake service."""
    process = _start("server")
    with _ended(process):
        yield f"http://127.0.0.1:{int(_read(process))}/v1"


class Side:
    """One measured process; commands are the methods of `turn.worker.Worker`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, do: str, **arguments: Any) -> Answer:
        """Carry out one command and return its answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        answer: Answer = json.loads(_read(self._process))
        return answer


@contextmanager
def side(name: str, url: str, home: Path) -> Iterator[Side]:
    """A measured process of the side `hand` or `autohands`."""
    process = _start("worker", name, url, *([str(home)] if name == "autohands" else []))
    with _ended(process):
        _read(process)
        yield Side(process)


def cold_start(name: str, url: str, home: Path) -> Answer:
    """Seconds from the start of a process to its answer, and the CPU seconds of all of it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = _start("cold", name, url, *([str(home)] if name == "autohands" else []), stdin=subprocess.DEVNULL)
    _read(process)
    answered = time.perf_counter() - started
    assert process.stdout
    process.stdout.close()
    if process.wait(30):
        raise SystemExit(f"{process.args!r} ended with status {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": answered, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}
