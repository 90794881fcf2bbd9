"""How many tasks may run at once."""

from __future__ import annotations


class Slots:
    """Slots, counted on two threads: the writer takes them as it claims, the event loop gives them back.

    Each thread writes a number of its own, and so nothing is locked.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._returned = 0

    @property
    def free(self) -> int:
        """How many are free, or more of them by now."""
        return self._count - self._taken + self._returned

    def take(self, count: int) -> None:
        """On the writer's thread: so many are taken; a negative number says that they were not."""
        self._taken += count

    def give_back(self, count: int = 1) -> None:
        """On the event loop: so many are free again."""
        self._returned += count
