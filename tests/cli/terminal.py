"""A person at a pseudo-terminal: starts a real process in it, types, and waits for what is shown."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 20.0
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78])|\r")


class Terminal:
    """One process with a terminal as its standard streams; `streams` may leave some of the three to the caller."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        *,
        columns: int = 100,
        streams: Mapping[str, int] | None = None,
    ) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        elsewhere = streams or {}
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            list(argv),
            env=_terminal_environment(environment),
            cwd=directory,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),  # noqa: PLW1509  one call, no lock
            stdin=elsewhere.get("stdin", slave),
            stdout=elsewhere.get("stdout", slave),
            stderr=elsewhere.get("stderr", slave),
        )
        os.close(slave)
        self.shown = ""
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
        os.close(self._master)

    @property
    def text(self) -> str:
        """What was shown so far, without colours and cursor movements."""
        return _SEQUENCES.sub("", self.shown)

    def expect(self, wanted: str) -> str:
        """Wait until a text is shown after what was expected last; everything shown up to then."""
        until = time.monotonic() + PATIENCE_SECONDS
        while (at := self.text.find(wanted, self._seen)) < 0:
            if not self._read(until):
                raise AssertionError(f"{wanted!r} was not shown in:\n{self.text[self._seen :]}")
        self._seen = at + len(wanted)
        return self.text[: self._seen]

    def send(self, text: str) -> None:
        """Type."""
        os.write(self._master, text.encode())

    def wait(self) -> int:
        """Read to the end; the exit status."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._read(until):
            pass
        return self.process.wait(max(until - time.monotonic(), 0.1))

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(until - time.monotonic(), 0))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # Linux says EIO when the last process has closed its end
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


def _terminal_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would speak for another terminal."""
    kept = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    return {**kept, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"}


def autohands(*arguments: str) -> list[str]:
    """The command line of our program."""
    return [sys.executable, "-W", "error", "-m", "autohands", *arguments]
