"""What was spent: by one run, and over time."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

By: TypeAlias = Literal["day", "agent", "model", "session", "schedule"]


class Used(Struct, frozen=True, kw_only=True):
    """What a task has used so far, over all its attempts. Calls whose end is not known count with their worst case.

    `worked_seconds` is the time it was at work: what it waited for others in between does not count.
    """

    model_calls: int = 0
    tool_calls: int = 0
    tokens: int = 0
    sent_bytes: int = 0
    worked_seconds: float = 0.0


class Cost(Struct, frozen=True, kw_only=True):
    """Model calls of one day, agent, model, session or schedule (its `key`, empty for none), in micro-USD.

    `reserved` is the worst case of calls that are under way, or whose end is not known; `runs` counts tasks with those
    that they started as one.
    """

    key: str
    spent: int = 0
    reserved: int = 0
    calls: int = 0
    runs: int = 0
    tokens: int = 0
