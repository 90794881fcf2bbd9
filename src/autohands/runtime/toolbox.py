"""A run's tools: the schemas in a stable order, the checks before a call, and what the guards say."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from autohands.protocols.context import ToolContext
from autohands.protocols.errors import ToolError
from autohands.protocols.guard import Allow, Ask, Deny, Guard, Verdict
from autohands.protocols.messages import ToolCall
from autohands.protocols.provider import ToolSchema
from autohands.protocols.tool import Arguments, Effect, Tool

logger = logging.getLogger(__name__)

GUARD_SECONDS = 10.0
_CANONICAL = msgspec.json.Encoder(order="sorted")


class Checked(msgspec.Struct, frozen=True):
    """A call that could run: its tool, its arguments converted, its effect."""

    call: ToolCall
    tool: Tool
    arguments: Arguments
    effect: Effect

    @property
    def repeatable(self) -> bool:
        """Whether a crash in mid-call may be answered by calling again."""
        return self.effect in ("read", "idempotent")

    @property
    def converted(self) -> ToolCall:
        """The call with the arguments its tool gets, as JSON: what guards judge."""
        return msgspec.structs.replace(self.call, arguments=msgspec.to_builtins(self.arguments))

    @property
    def digest(self) -> bytes:
        """SHA-256 over tool, version and arguments: what a recorded intent and an approval are bound to."""
        payload = _CANONICAL.encode([self.tool.schema.name, self.tool.version, self.call.arguments])
        return hashlib.sha256(payload).digest()


class Toolbox:
    """The tools an agent may use, under the guards in force."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        patterns: Sequence[str],
        guards: Sequence[Guard],
        *,
        guard_seconds: float = GUARD_SECONDS,
    ) -> None:
        self._tools = {
            name: tools[name] for name in sorted(tools) if any(fnmatchcase(name, pattern) for pattern in patterns)
        }
        self._guards = tuple(guards)
        self._guard_seconds = guard_seconds
        self.schemas: tuple[ToolSchema, ...] = tuple(tool.schema for tool in self._tools.values())

    def find(self, name: str) -> Tool:
        """The tool of that name. Raises `ToolError` with the nearest names."""
        if tool := self._tools.get(name):
            return tool
        from difflib import get_close_matches

        near = get_close_matches(name.lower(), self._tools, 3) or list(self._tools)
        raise ToolError(f"unknown_tool: there is no tool `{name}`; did you mean {', '.join(near[:8])}?")

    def check(self, call: ToolCall) -> Checked:
        """Find the tool and convert the arguments.

        Raises:
            ToolError: No such tool, or arguments that it does not take.
        """
        if call.invalid is not None:
            raise ToolError(f"invalid_arguments: {call.invalid}; send the call again with a complete JSON object")
        tool = self.find(call.name)
        arguments = tool.validate(call.arguments)
        return Checked(call, tool, arguments, _effect_of(tool, arguments))

    def poll_of(self, call: ToolCall) -> float | None:
        """Seconds after which this call may be made again and is no repetition; None where it always is one."""
        poll: float | None = getattr(self._tools.get(call.name), "poll", None)
        if poll is None:
            return None
        try:
            return poll if self.check(call).repeatable else None
        except ToolError:
            return None

    async def judge(self, checked: Checked, ctx: ToolContext) -> Verdict:
        """The strictest answer of all guards. One that raises or does not answer in time denies."""
        try:
            async with asyncio.timeout(self._guard_seconds):
                return await self._strictest(checked, ctx)
        except TimeoutError:
            return Deny(f"the guards gave no answer within {self._guard_seconds:g} s")

    async def _strictest(self, checked: Checked, ctx: ToolContext) -> Verdict:
        verdict: Verdict = Allow()
        for guard in self._guards:
            answer = await _ask_guard(guard, checked, ctx)
            if isinstance(answer, Deny):
                return answer
            if isinstance(answer, Ask) and not (isinstance(verdict, Ask) and verdict.protected):
                verdict = answer
        return verdict


def narrowed(tools: Mapping[str, Tool], patterns: Sequence[str] | None) -> dict[str, Tool]:
    """Those tools that a task may use; None is all."""
    allowed = ("*",) if patterns is None else patterns
    return {name: tool for name, tool in tools.items() if any(fnmatchcase(name, pattern) for pattern in allowed)}


def within(patterns: tuple[str, ...] | None, wider: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Those patterns that surely name nothing that `wider` does not: a child's tools are among its parent's."""
    if patterns is None or wider is None:
        return wider if patterns is None else patterns
    plain = [each for each in wider if not set(each) & set("?[")]
    return tuple(
        each
        for each in patterns
        if each in wider or ("[" not in each and any(fnmatchcase(each, pattern) for pattern in plain))
    )


def _effect_of(tool: Tool, arguments: Arguments) -> Effect:
    try:
        return tool.effect(arguments)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ToolError(f"tool_crashed: its effect is unknown: {type(error).__name__}: {error}") from error


async def _ask_guard(guard: Guard, checked: Checked, ctx: ToolContext) -> Verdict:
    try:
        answer: object = await guard(checked.tool, checked.converted, ctx)
    except Exception as error:  # a guard is foreign code, and a broken guard is a closed door
        logger.exception("a guard failed on %s", checked.call.name)
        return Deny(f"a guard failed: {type(error).__name__}: {error}")
    return answer if isinstance(answer, Allow | Ask | Deny) else Deny("a guard gave no verdict")
