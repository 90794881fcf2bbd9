"""What stands around the handling of a task: middleware that extensions bring."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autohands.protocols.loop import Middleware
from autohands.protocols.storage import Handler, Lease
from autohands.runloop.passage import through


def surrounded(handler: Handler, middleware: Callable[[], Sequence[Middleware]]) -> Handler:
    """The handler with what stands around it, asked for anew with each task; lower `order` is outer.

    What it raises ends the task, as if the handler had raised it. If it neither hands the lease on nor ends the task,
    the task fails.
    """

    async def handle(lease: Lease) -> None:
        await through(middleware(), lambda each: each.handle, handler)(lease)

    return handle
