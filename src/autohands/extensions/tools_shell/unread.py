"""How far a session has read each job's output: kept while the program lives."""

from __future__ import annotations

from autohands.sdk import ToolContext

KEY = "tools-shell.unread"


class Unread:
    """Where reading goes on, by job."""

    def __init__(self, ctx: ToolContext) -> None:
        self._cursors: dict[str, int] = ctx.data.setdefault(KEY, {})

    def get(self, job: str) -> int:
        """The first byte not read yet."""
        return self._cursors.get(job, 0)

    def set(self, job: str, cursor: int) -> None:
        """Everything before `cursor` has been read."""
        self._cursors[job] = cursor
