"""Write leases: a run that wants to write where another one writes is told who that is, and since when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from autohands.protocols.changes import Change, HoldPaths
from autohands.protocols.errors import ToolError
from autohands.protocols.records import Hold
from autohands.protocols.storage import Lease, Storage
from autohands.runtime.guards.rules import command_of, paths_named

if TYPE_CHECKING:
    from autohands.core.context import ExecutionContext
    from autohands.runtime.toolbox import Checked

TOLD = (
    "write_lease: {path} is held by task {task} of the session {session}, which has been writing there since {since}; "
    "do something else first, or say that it has to wait"
)


class WriteLeases:
    """The leases of one run. They are rows that count while it runs: they end with it, and with its program."""

    def __init__(self, lease: Lease, storage: Storage) -> None:
        self._lease = lease
        self._storage = storage
        self._mine: set[str] = set()

    async def claim(self, checked: Checked, ctx: ExecutionContext, before: Callable[[], list[Change]]) -> str | None:
        """Take the leases that an effect needs, `before` committed with them; why it must not run, where another run
        has one. A command may write anywhere: it needs that nobody else writes in the workspace."""
        place, arguments = ctx.workspace.root, checked.converted.arguments
        if command_of(arguments) is not None:
            return _told(await self._storage.held(place, self._lease.record.session))
        paths = [path for path in _written(arguments, ctx) if path not in self._mine]
        if not paths:
            return None
        found = (await self._lease.commit(*before(), HoldPaths(place=place, paths=tuple(paths))))[-1]
        if found is None:
            self._mine.update(paths)
        return _told(found)


def _written(arguments: dict[str, object], ctx: ExecutionContext) -> list[str]:
    """The paths in the workspace that a call names; what lies elsewhere is refused by who opens it."""
    paths = dict[str, None]()
    for path in paths_named(arguments):
        try:
            paths[ctx.workspace.relative(path)] = None
        except ToolError:
            continue
    return list(paths)


def _told(hold: Hold | None) -> str | None:
    if hold is None:
        return None
    since = datetime.fromtimestamp(hold.since / 1000, UTC).isoformat(timespec="seconds")
    return TOLD.format(path=hold.path, task=hold.task, session=hold.session, since=since)
