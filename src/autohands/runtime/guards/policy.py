"""The policy: what the rules say of a call, and what holds where no rule speaks.

Deny stands over ask, ask over allow. Without a rule a `read` is allowed and every other effect asks. A protected path
asks in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from autohands.config.schema import PolicyRule
from autohands.core.protected import is_protected
from autohands.protocols.context import ToolContext
from autohands.protocols.guard import Allow, Ask, Deny, Verdict
from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import Tool

PATH_ARGUMENTS = ("path", "source", "destination", "cwd")


class Policy:
    """A guard made of rules."""

    def __init__(self, rules: Sequence[PolicyRule]) -> None:
        self._rules = tuple(rules)

    async def __call__(self, tool: Tool, call: ToolCall, ctx: ToolContext) -> Verdict:
        """Allow, ask or deny this call."""
        effect = tool.effect(call.arguments)
        matching = [rule for rule in self._rules if _matches(rule, call, effect, ctx.scope.source)]
        says = {rule.then for rule in matching}
        if "deny" in says:
            return Deny(f"the policy forbids {call.name} here")
        if effect == "read" and "ask" not in says:
            return Allow()
        if path := next((path for path in _paths(call.arguments) if is_protected(path)), None):
            return Ask(f"{call.name} changes {path}, a protected path", protected=True)
        if "ask" in says:
            return Ask(f"the policy wants a person to see {call.name}")
        return Allow() if "allow" in says else Ask(f"{call.name} is {effect}")


def _matches(rule: PolicyRule, call: ToolCall, effect: str, source: str) -> bool:
    arguments = call.arguments
    return (
        _fits(rule.tool, [call.name])
        and _fits(rule.effect, [effect])
        and _fits(rule.source, [source])
        and _fits(rule.path, _paths(arguments))
        and _fits(rule.command, _texts(arguments, ("command",)))
        and _fits(rule.host, [urlsplit(url).hostname or "" for url in _texts(arguments, ("url",))])
    )


def _fits(pattern: str | None, values: Sequence[str]) -> bool:
    return pattern is None or any(fnmatchcase(value, pattern) for value in values)


def _texts(arguments: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [value for name in names if isinstance(value := arguments.get(name), str)]


def _paths(arguments: dict[str, Any]) -> list[str]:
    return _texts(arguments, PATH_ARGUMENTS)
