"""What keeps the database sound and bounded: copies of it, what was lost, what is kept for how long."""

from __future__ import annotations

from msgspec import Struct


class Retention(Struct, frozen=True, kw_only=True):
    """How long things are kept. What has not ended is kept whatever its age.

    `sessions_days` since a session was last used, `journal_days` of events since their task ended, `messages_days`
    since a message was sent or given up; `sessions`, `occurrences` (of each schedule) and `backups` are numbers.
    """

    sessions_days: float = 90
    sessions: int = 10_000
    journal_days: float = 30
    messages_days: float = 30
    occurrences: int = 1_000
    backups: int = 3


class Retained(Struct, frozen=True, kw_only=True):
    """What was deleted, and how many bytes the file gave back."""

    sessions: int = 0
    events: int = 0
    messages: int = 0
    occurrences: int = 0
    blobs: int = 0
    backups: int = 0
    bytes: int = 0


class Backup(Struct, frozen=True, kw_only=True):
    """A copy that was found whole. `commits` is how far the database had come, `made` UTC ms, `size` in bytes.

    `missing` counts images that rows speak of and that were gone.
    """

    path: str
    made: int
    size: int
    schema: int
    commits: int
    sessions: int
    tasks: int
    events: int
    blobs: int = 0
    missing: int = 0


class Loss(Struct, frozen=True, kw_only=True):
    """A database was replaced by an older state of itself: why, by what, and what is gone.

    `commits` and `tasks` are those made after that state, as far as is known; None if nothing is. What had not ended
    then may have gone on since: `resting` tasks are paused, `held` messages and `paused` schedules wait for a person.
    """

    reason: str
    restored: str
    aside: str
    commits: int | None
    tasks: int | None
    resting: int = 0
    held: int = 0
    paused: int = 0

    def __str__(self) -> str:
        lost = "what is lost is not known" if self.commits is None else f"{self.commits} commits are lost"
        tasks = f", with them {self.tasks} tasks" if self.tasks else ""
        still = f"; {self.resting} unfinished tasks are paused" if self.resting else ""
        still += f"; {self.held} messages are held" if self.held else ""
        still += f"; {self.paused} schedules are paused" if self.paused else ""
        kept = f"; the file itself is kept in {self.aside}" if self.aside else ""
        return f"{self.reason}; restored from {self.restored}: {lost}{tasks}{still}{kept}"
