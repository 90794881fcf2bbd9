"""The way through middleware: each stands around the next, and what it does wrong is told as its own fault."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

from autohands.core.foreign import contained, describe
from autohands.protocols.errors import AutoHandsError
from autohands.protocols.loop import Middleware

T = TypeVar("T")
R = TypeVar("R")

Onward: TypeAlias = Callable[[T], Awaitable[R]]
Around: TypeAlias = Callable[[T, Onward[T, R]], Awaitable[R]]


def through(
    middleware: Sequence[Middleware], pick: Callable[[Middleware], Around[T, R] | None], last: Onward[T, R]
) -> Onward[T, R]:
    """The way to `last` through what `pick` finds in each middleware; lower `order` is outer, then who came first."""
    inwards = sorted(middleware, key=lambda each: each.order)
    for each in reversed(inwards):
        around = pick(each)
        if around is not None:
            last = _station(each.name, around, last)
    return last


def _station(name: str, around: Around[T, R], onward: Onward[T, R]) -> Onward[T, R]:
    """One middleware in front of what comes after it.

    Raises (when it is called):
        AutoHandsError: A refusal as it is; anything else that the middleware itself raises, with its name.
    """

    async def station(item: T) -> R:
        passing: list[BaseException] = []

        async def further(item: T) -> R:
            try:
                return await onward(item)
            except BaseException as error:
                passing.append(error)
                raise

        def report(error: BaseException) -> None:
            if isinstance(error, AutoHandsError) or error in passing:
                raise error
            raise AutoHandsError(
                f"the middleware {name!r} crashed: {describe(error)}",
                hint="mend it, or disable the extension that brings it",
            ) from error

        with contained(report):
            return await around(item, further)

    return station
