"""A real `autohands serve`, driven from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .processes import AUTOHANDS, WAIT_SECONDS, autohands

T = TypeVar("T")


class Server:
    """The process, and what it has said on standard error."""

    def __init__(self, env: dict[str, str], cwd: Path, log: Path) -> None:
        self._env, self._cwd, self._log = env, cwd, log
        self.process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("a") as errors:
            process = subprocess.Popen(
                [AUTOHANDS, "serve", "--json"],
                env=self._env,
                cwd=self._cwd,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout
        line = process.stdout.readline()
        assert line, self.said()
        assert json.loads(line)["ready"]
        return process

    def said(self) -> str:
        """Everything on standard error so far."""
        return self._log.read_text()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self._gone()

    def restart(self) -> None:
        """Start it anew."""
        self.process = self._start()

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; its exit status."""
        self.process.send_signal(number)
        return self._gone()

    def _gone(self) -> int:
        assert self.process.stdout
        status = self.process.wait(WAIT_SECONDS)
        self.process.stdout.close()
        return status


@contextmanager
def server(env: dict[str, str], cwd: Path) -> Iterator[Server]:
    """A running server."""
    running = Server(env, cwd, cwd.parent / "serve.log")
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
        time.sleep(0.1)
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
