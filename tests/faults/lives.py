"""The harness' side of a life: started, listened to, killed, its end awaited."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from faults.plan import Birth, Plan

PATIENCE_SECONDS = 30.0
COMPLAINT_BYTES = 3000
TESTS = Path(__file__).parents[1]


class Stuck(Exception):
    """A life neither ended nor said anything for too long."""


class Life:
    """One start of the program. `told` is what it said; `status` how it ended, as `waitpid` has it;
    `opened_seconds` how long it took to open.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._rest = b""
        self.pid = 0
        self.told: list[list[str]] = []
        self.opened_seconds: float | None = None
        self._born = time.monotonic()
        self._given_up = False
        self.status: int | None = None
        self.stopped = False

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status is not None and os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    def listen(self, until: Callable[[list[str]], bool] = lambda _: False) -> bool:
        """Hear what it says until a line satisfies `until`; False where it ended, or was stopped, before.

        Raises:
            Stuck: It has said nothing for half a minute; it was killed then.
        """
        while self.status is None and not self.stopped:
            for line in self._lines():
                words = line.split()
                if self._is_news(words) and until(words):
                    return True
        return False

    def _is_news(self, words: list[str]) -> bool:
        """Whether the program said it, and not the nursery."""
        match words:
            case ["ended", status]:
                self.status = int(status)
            case ["born", pid]:
                self.pid = int(pid)
            case ["stopped", _]:
                self.stopped = True
            case _:
                self.told.append(words)
                if words[0] == "open":
                    self.opened_seconds = time.monotonic() - self._born
                return True
        return False

    def kill(self) -> None:
        """SIGKILL, if it still lives, and wait for its end."""
        if self.status is not None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.stopped = False
        self.listen()

    def _lines(self) -> Iterator[str]:
        """The lines that are there now, one at a time: what is not taken stays for the next call."""
        assert self._process.stdout
        if b"\n" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_SECONDS)
            if not ready:
                self._give_up()
            piece = os.read(self._process.stdout.fileno(), 65536)
            if not piece:
                raise ChildProcessError(f"the nursery has died: {self._process.wait(5)}")
            self._rest += piece
        while b"\n" in self._rest and self.status is None:
            line, _, self._rest = self._rest.partition(b"\n")
            yield line.decode()

    def _give_up(self) -> None:
        if self._given_up:
            raise ChildProcessError("the nursery does not answer")
        self._given_up = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGABRT)  # shows where it stands
            time.sleep(0.5)
            os.kill(self.pid, signal.SIGKILL)
        self.listen()  # its end is told here, and not to the next one
        raise Stuck(f"process {self.pid} said nothing for {PATIENCE_SECONDS:.0f} s; last: {self.told[-3:]}")


class Nursery:
    """Gives birth to lives, one at a time."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors

    def passed(self) -> set[str]:
        """The failpoints that lives have told of."""
        self._errors.seek(0)
        words = [line.split() for line in self._errors.read().decode("utf-8", "replace").splitlines()]
        return {rest[0] for first, *rest in filter(None, words) if first == "failpoint"}

    def complaints(self) -> str:
        """The end of what lives have written to standard error."""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(size - COMPLAINT_BYTES, 0))
        return self._errors.read().decode("utf-8", "replace")

    def bear(self, plan: Plan, failpoint: str = "") -> Life:
        """Start a life, with a failpoint armed."""
        assert self._process.stdin
        birth = Birth(plan=plan, environment={"AUTOHANDS_FAILPOINT": failpoint} if failpoint else {})
        life = Life(self._process)
        try:
            self._process.stdin.write(msgspec.json.encode(birth) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ChildProcessError(f"the nursery has died: {self.complaints()}") from None
        while not life.pid:
            life.listen(lambda _: True)
        return life


@contextmanager
def nursery(*wrapped: str) -> Iterator[Nursery]:
    """A nursery in a process of its own; `wrapped` is a command before it, such as strace."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTOHANDS_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [environment.get("PYTHONPATH")])])
    command = [*wrapped, sys.executable, "-m", "faults.nursery"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
        )
        assert process.stdin
        assert process.stdout
        try:
            yield Nursery(process, errors)
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait(PATIENCE_SECONDS)
            process.stdout.close()
