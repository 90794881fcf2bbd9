"""Takes up what programs that are gone have left unfinished."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from autohands.protocols.changes import Redo
from autohands.protocols.errors import Conflict, NotFound
from autohands.protocols.storage import Storage

logger = logging.getLogger(__name__)

SOON_SECONDS: Final = 3.0
EVERY_SECONDS: Final = 10.0


class Recovery:
    """Moves tasks that lie in the own queue of a program that is gone into one that is served; they go on from their
    recorded steps.

    What such a program was running, wherever it lay, the engine takes from it first, and counts that as a crash of the
    task: one that kills whoever runs it is not run for ever. A process that dies tells nobody, so this looks at
    intervals.
    """

    def __init__(self, storage: Storage, queue: str, every_seconds: float = EVERY_SECONDS) -> None:
        self._storage = storage
        self._queue = queue
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Look now, again when the engine has had its turn, then every ten seconds, until cancelled."""
        await self.look()
        await asyncio.sleep(min(SOON_SECONDS, self._every_seconds))
        while True:
            await self.look()
            await asyncio.sleep(self._every_seconds)

    async def look(self) -> list[str]:
        """Take up what there is. Returns the ids."""
        taken = []
        for task in await self._storage.interrupted():
            try:
                record = await self._storage.task(task)
                if record.state == "running" or not record.task.in_own_queue:
                    continue
                await self._storage.commit(Redo(task=task, queue=self._queue))
            except (Conflict, NotFound):  # somebody else was first, or it has ended meanwhile
                continue
            logger.warning("task %s was left unfinished by a program that is gone: it goes on here", task)
            taken.append(task)
        return taken
