"""An agent is data and two optional hooks; the loop is not its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from autohands.protocols.provider import Request, ToolSchema

Prepare: TypeAlias = Callable[[Request], Awaitable[Request]]
ChooseTools: TypeAlias = Callable[[Sequence[ToolSchema], str], Sequence[ToolSchema]]


class Agent(Struct, frozen=True, kw_only=True):
    """Who does the work: model, system prompt, tools, skills, limits.

    `tools` are names and globs, `*` for all. `prepare` sees each request before it is sent, `choose_tools` picks from
    the offered schemas given the first prompt of the session.
    """

    name: str
    prompt: str
    summary: str = ""
    model: str | None = None
    tools: tuple[str, ...] = ("*",)
    skills: tuple[str, ...] = ("*",)
    max_turns: int | None = None
    prepare: Prepare | None = None
    choose_tools: ChooseTools | None = None
