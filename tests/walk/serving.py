"""A real `autohands serve`, driven from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .processes import AUTOHANDS, WAIT_SECONDS, autohands

T = TypeVar("T")
COMMAND = (AUTOHANDS, "serve", "--json")


class Server:
    """The process, and what it has said: JSON lines on standard output, the rest on standard error."""

    def __init__(self, env: dict[str, str], cwd: Path, log: Path, command: Sequence[str] = COMMAND) -> None:
        self._env, self._cwd, self._command = env, cwd, command
        self._log, self._lines = log, log.with_suffix(".jsonl")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        read = self._lines.stat().st_size if self._lines.exists() else 0
        with self._log.open("a") as errors, self._lines.open("a") as lines:
            process = subprocess.Popen(
                self._command, env=self._env, cwd=self._cwd, stdout=lines, stderr=errors, text=True
            )
        end = time.monotonic() + WAIT_SECONDS
        while not (first := self._lines.read_bytes()[read:]).endswith(b"\n"):
            assert process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.02)
        assert json.loads(first.splitlines()[0])["ready"]
        return process

    def said(self) -> str:
        """Everything it has said so far, on both."""
        return self._log.read_text() + self._lines.read_text()

    def told(self, kind: str = "", **fields: Any) -> list[dict[str, Any]]:
        """The JSON lines so far of that type and with these values."""
        whole = self._lines.read_bytes().rpartition(b"\n")[0].splitlines()
        wanted = {"type": kind, **fields} if kind else fields
        return [each for each in map(json.loads, whole) if all(each.get(name) == wanted[name] for name in wanted)]

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.gone()

    def restart(self) -> None:
        """Start it anew."""
        self.process = self._start()

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; its exit status."""
        self.process.send_signal(number)
        return self.gone()

    def gone(self) -> int:
        """Wait until it has ended; its exit status."""
        return self.process.wait(WAIT_SECONDS)


@contextmanager
def server(env: dict[str, str], cwd: Path, command: Sequence[str] = COMMAND) -> Iterator[Server]:
    """A running server."""
    running = Server(env, cwd, cwd.parent / "serve.log", command)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()


def eventually(look: Callable[[], T | None], seconds: float = WAIT_SECONDS) -> T:
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")


def asked(*arguments: str, env: dict[str, str], cwd: Path) -> Any:
    """A command's JSON."""
    done = autohands(*arguments, "--json", env=env, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def state(task: str, env: dict[str, str], cwd: Path) -> str:
    """Where a task stands."""
    return str(asked("task", "show", task, env=env, cwd=cwd)["state"])


def reload(running: Server) -> None:
    """Have it read its configuration anew."""
    os.kill(running.process.pid, signal.SIGHUP)
