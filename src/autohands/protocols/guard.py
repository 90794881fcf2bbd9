"""A guard says allow, ask or deny for one tool call; the strictest answer wins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from autohands.protocols.messages import ToolCall

if TYPE_CHECKING:
    from autohands.protocols.context import ToolContext
    from autohands.protocols.tool import Tool


class Allow(Struct, frozen=True):
    """Nothing speaks against it."""


class Ask(Struct, frozen=True):
    """A person has to say yes. `protected`: even where effects in the workspace are allowed unasked."""

    reason: str
    protected: bool = False


class Deny(Struct, frozen=True):
    """It must not run. The reason goes to the model."""

    reason: str


Verdict: TypeAlias = Allow | Ask | Deny
Guard: TypeAlias = "Callable[[Tool, ToolCall, ToolContext], Awaitable[Verdict]]"
