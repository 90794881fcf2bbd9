"""Queues of tasks: what they may take and how fast they are worked off."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from msgspec import Struct


class QueueLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits of one queue, for all programs that serve it; None is no limit.

    At most `concurrency` tasks run at once; at most `rate` start within `period_seconds`; at most `depth` wait, more
    are refused with `TooBusy`.
    """

    name: str
    concurrency: int | None = None
    rate: int | None = None
    period_seconds: float = 1.0
    depth: int | None = 100_000


class QueueStatus(Struct, frozen=True, kw_only=True):
    """A queue as it stands. `oldest` is when the first of the ready ones was accepted, in UTC ms."""

    limits: QueueLimits
    ready: int = 0
    blocked: int = 0
    delayed: int = 0
    waiting: int = 0
    paused: int = 0
    running: int = 0
    oldest: int | None = None


class LimitQueues(Struct, frozen=True, kw_only=True):
    """These are the limits of queues from now on; one that is not named has the ordinary ones."""

    limits: tuple[QueueLimits, ...]


QueueChange: TypeAlias = LimitQueues


class Queues(Protocol):
    """Queries about queues."""

    async def all(self) -> list[QueueStatus]:
        """Queues that have limits or unfinished tasks, by name."""
        ...
