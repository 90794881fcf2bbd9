"""Places where a test may end, stop or fail the program, to see what survives it."""

from __future__ import annotations

import errno
import os
import signal
from functools import cache
from itertools import count
from typing import Final

VARIABLE: Final = "AUTOHANDS_FAILPOINT"
EXIT_STATUS: Final = 70
ACTIONS: Final = ("kill", "raise", "hang", "exit", "tell")
EVERY: Final = "*"


class _Armed:
    """What `AUTOHANDS_FAILPOINT` asks for: at which passage of which point to do what."""

    def __init__(self, asked: str) -> None:
        name, _, rest = asked.partition(":")
        hit, _, action = rest.partition(":")
        self.name = name
        self._hit = int(hit or 1)
        self._action = action or "kill"
        if self._action not in ACTIONS:
            raise ValueError(f"{VARIABLE}={asked}: {action!r} is none of {', '.join(ACTIONS)}")
        self._passages = count(1)

    def passed(self, name: str) -> None:
        """A point was reached; this may be the last thing that happens here."""
        if self.name not in (name, EVERY):
            return
        if self._action == "tell":
            os.write(2, f"failpoint {name}\n".encode())
        elif next(self._passages) == self._hit:
            self._act(name)

    def _act(self, name: str) -> None:
        if self._action == "raise":
            raise OSError(errno.EIO, f"failpoint {name}")
        if self._action == "exit":
            os._exit(EXIT_STATUS)
        os.kill(os.getpid(), signal.SIGSTOP if self._action == "hang" else signal.SIGKILL)


@cache
def _armed() -> _Armed | None:
    """The point that is armed in this process. The environment is read once, at the first point that is passed."""
    asked = os.environ.get(VARIABLE)
    return _Armed(asked) if asked else None


def failpoint(name: str) -> None:
    """Here a test may end the process: with `AUTOHANDS_FAILPOINT=NAME[:HIT[:ACTION]]`.

    It happens at the passage number `HIT` (1) of the point `NAME`, or of all points together where that is `*`.
    `ACTION` is `kill` (SIGKILL, the default), `raise` (an OSError), `hang` (SIGSTOP) or `exit` (at once, status 70);
    `tell` names each passage on standard error instead. Without the variable it costs next to nothing.

    Raises:
        OSError: The test asked for it. ValueError: The variable asks for something that there is not.
    """
    armed = _armed()
    if armed is not None:
        armed.passed(name)
