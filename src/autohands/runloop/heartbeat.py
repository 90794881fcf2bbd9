"""The heartbeat: a look around at intervals, in a session of its own."""

from __future__ import annotations

from msgspec.structs import replace

from autohands.protocols.errors import NotFound
from autohands.protocols.storage import Storage
from autohands.protocols.task import Task, TaskState
from autohands.runloop.sources import Door
from autohands.runloop.timers import Timer

UNFINISHED: tuple[TaskState, ...] = ("delayed", "blocked", "ready", "running", "waiting", "paused")
TOLERANCE = 0.1


class Heartbeat:
    """Submits `task`, which names its session, at intervals; not while one of that session has still to end.

    It goes into the loop as `loop.add_timer(heartbeat.timer(every_seconds))`.
    """

    def __init__(self, queue: Door, storage: Storage, task: Task) -> None:
        self._queue = queue
        self._storage = storage
        self._task = replace(task, source="heartbeat", session=task.session or "heartbeat")

    def timer(self, every_seconds: float) -> Timer:
        """What the loop fires, first when an interval has gone by. It may be late by a tenth of it."""
        return Timer(
            name="heartbeat", fire=self.beat, every_seconds=every_seconds, tolerance_seconds=every_seconds * TOLERANCE
        )

    async def beat(self) -> str | None:
        """Submit the task, unless the former has not ended. Returns its id.

        Raises:
            AutoHandsError: It is refused.
        """
        if await self._goes_on():
            return None
        return (await self._queue.submit(self._task)).id

    async def _goes_on(self) -> bool:
        assert self._task.session is not None
        try:
            session = await self._storage.session(self._task.session)
        except NotFound:
            return False
        return bool(await self._storage.tasks(session=session.id, states=UNFINISHED, limit=1))
