"""Signals that calls wait for."""

from __future__ import annotations

from typing import Any

from autohands.protocols.context import Parked, Wait
from autohands.protocols.errors import ToolError
from autohands.protocols.storage import Storage


async def nothing_to_wait_for(key: str) -> dict[str, Any]:
    """For calls that belong to no run. Raises `ToolError`."""
    raise ToolError(f"cannot_wait: there is no run that could wait for {key}")


async def wait_for_signal(storage: Storage, task: str, key: str) -> dict[str, Any]:
    """The payload of a task's signal.

    Raises:
        Parked: There is none yet.
    """
    signals = await storage.signals(task)
    kind, _, name = key.partition(":")
    for topic in (key, name if kind == "signal" else key):  # `signal:x` is told under `x`
        if topic in signals:
            return signals[topic]
    raise Parked(Wait(kind if name else "signal", name or key))
