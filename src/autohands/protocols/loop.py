"""What may be put into the run loop: observers, sources, middleware. Modelled on Core Foundation's run loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Flag, auto
from typing import Protocol, TypeAlias

from msgspec import Struct

from autohands.protocols.storage import Handler, Lease
from autohands.protocols.task import Task, TaskRecord
from autohands.protocols.topics import Publication, Publish

DEFAULT = "default"
BACKGROUND = "background"
MODES = (DEFAULT, BACKGROUND)


class Phase(Flag):
    """What the loop is about to do, or has just done (CFRunLoopActivity)."""

    ENTRY = auto()
    BEFORE_TIMERS = auto()
    BEFORE_SOURCES = auto()
    BEFORE_WAITING = auto()
    AFTER_WAITING = auto()
    EXIT = auto()
    ALL = ENTRY | BEFORE_TIMERS | BEFORE_SOURCES | BEFORE_WAITING | AFTER_WAITING | EXIT


class Observer(Struct, frozen=True, kw_only=True):
    """Is told of the loop's phases, lower `order` first, in the modes it belongs to. `notice` must be quick."""

    name: str
    notice: Callable[[Phase], None]
    phases: Phase = Phase.ALL
    order: int = 0
    modes: tuple[str, ...] = MODES


class Source(Protocol):
    """An input that wakes the loop by itself (Source1): tasks as they come, in the modes it belongs to.

    When the iterator fails it is begun again, later each time; when it ends the source is done. A task is submitted
    before the next one is asked for: a task with an `idempotency_key` may be told again without harm.
    """

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes in which it is heard; in another one the next task waits."""
        ...

    def tasks(self) -> AsyncIterator[Task]:
        """Tasks as they come."""
        ...


Submit: TypeAlias = Callable[[Task], Awaitable[TaskRecord]]
Publishing: TypeAlias = Callable[[Publish], Awaitable[Publication]]


class Middleware(Struct, frozen=True, kw_only=True):
    """Stands around what passes the task queue: it rewrites, refuses by raising, or measures. Lower `order` is outer.

    Each gets what passes and the next one to hand it on to: a task that is submitted, a payload that is published, the
    lease of a task that is about to be handled.
    """

    name: str
    submit: Callable[[Task, Submit], Awaitable[TaskRecord]] | None = None
    publish: Callable[[Publish, Publishing], Awaitable[Publication]] | None = None
    handle: Callable[[Lease, Handler], Awaitable[None]] | None = None
    order: int = 0
