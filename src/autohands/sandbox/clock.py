"""Named moments at which something is due, for a loop that has one thread. Standard library only."""

from __future__ import annotations

import time

MOST_WAIT_SECONDS = 3_600.0


class Clock:
    """Which of its names are due, and when the next one will be."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def set(self, name: str, seconds: float) -> None:
        """Make `name` due in so many seconds, in place of what was set for it."""
        self._due[name] = time.monotonic() + seconds

    def set_first(self, name: str, seconds: float) -> None:
        """The same, unless it is due sooner already."""
        self._due[name] = min(time.monotonic() + seconds, self._due.get(name, float("inf")))

    def waits(self, name: str) -> bool:
        """Whether `name` is set."""
        return name in self._due

    def wait_seconds(self) -> float:
        """How long until something is due."""
        return min(max(0.0, min(self._due.values(), default=float("inf")) - time.monotonic()), MOST_WAIT_SECONDS)

    def take_due(self) -> list[str]:
        """The names that are due now, earliest first; they are no longer set."""
        now = time.monotonic()
        names = sorted((name for name, moment in self._due.items() if moment <= now), key=self._due.__getitem__)
        for name in names:
            del self._due[name]
        return names
