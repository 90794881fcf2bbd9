"""The run loop: decides when a task runs; what happens then is its handler's business."""

from __future__ import annotations

from collections.abc import Sequence

from autohands.protocols.storage import Engine, Handler, Lease


class RunLoop:
    """Serves queues: each claimed task is dispatched to the handler, in a task of its own."""

    def __init__(self, engine: Engine, handler: Handler, *, slots: int, queues: Sequence[str]) -> None:
        self._engine = engine
        self._handler = handler
        self._slots = slots
        self._queues = tuple(queues)
        self._running: set[str] = set()

    @property
    def running(self) -> frozenset[str]:
        """The ids of the tasks that run now."""
        return frozenset(self._running)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._engine.serve(self.dispatch, slots=self._slots, queues=self._queues)

    async def dispatch(self, lease: Lease) -> None:
        """Run one activation of a task."""
        self._running.add(lease.record.id)
        try:
            await self._handler(lease)
        finally:
            self._running.discard(lease.record.id)
