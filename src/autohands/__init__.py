"""AutoHands: an agent that runs all day on your own machine.

This is the door for applications; extensions come in through `autohands.sdk`. Names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autohands.app import open as open
    from autohands.hands import Hands as Hands
    from autohands.protocols.errors import AutoHandsError as AutoHandsError
    from autohands.protocols.events import ApprovalRequested as ApprovalRequested
    from autohands.protocols.events import ReplyFinished as ReplyFinished
    from autohands.protocols.events import RunFinished as RunFinished
    from autohands.protocols.events import TextDelta as TextDelta
    from autohands.protocols.events import ThinkingDelta as ThinkingDelta
    from autohands.protocols.events import ToolFinished as ToolFinished
    from autohands.protocols.events import ToolOutput as ToolOutput
    from autohands.protocols.events import ToolStarted as ToolStarted
    from autohands.protocols.task import Task as Task
    from autohands.protocols.tool import ToolResult as ToolResult

__version__ = "0.1.0"

_HOMES = {
    "ApprovalRequested": "protocols.events",
    "AutoHandsError": "protocols.errors",
    "Hands": "hands",
    "ReplyFinished": "protocols.events",
    "RunFinished": "protocols.events",
    "Task": "protocols.task",
    "TextDelta": "protocols.events",
    "ThinkingDelta": "protocols.events",
    "ToolFinished": "protocols.events",
    "ToolOutput": "protocols.events",
    "ToolResult": "protocols.tool",
    "ToolStarted": "protocols.events",
    "open": "app",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604  the names are checked by tests/architecture


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
