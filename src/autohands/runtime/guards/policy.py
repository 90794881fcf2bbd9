"""The policy: what the rules say of a call, and what holds where no rule speaks.

Deny stands over ask, ask over allow. Without a rule a `read` is allowed and every other effect asks. A protected path
asks in any case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from autohands.config.schema import PolicyRule
from autohands.core.protected import is_protected
from autohands.protocols.context import ToolContext
from autohands.protocols.errors import ToolError
from autohands.protocols.guard import Allow, Ask, Deny, Verdict
from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import EFFECT_WORDS, Tool
from autohands.protocols.workspace import Workspace

PATH_ARGUMENTS = frozenset({"path", "paths", "source", "destination", "cwd", "file", "files", "directory", "target"})


class Policy:
    """A guard made of rules."""

    def __init__(self, rules: Sequence[PolicyRule]) -> None:
        self._rules = tuple(rules)

    async def __call__(self, tool: Tool, call: ToolCall, ctx: ToolContext) -> Verdict:
        """Allow, ask or deny this call."""
        effect = tool.effect(call.arguments)
        if effect == "read" and not self._rules:
            return Allow()
        seen = _Seen(call.name, effect, ctx.scope.source, call.arguments, _paths(call.arguments, ctx.workspace))
        matching = [rule for rule in self._rules if _matches(rule, seen)]
        says = {rule.then for rule in matching}
        if "deny" in says:
            return Deny(f"the policy forbids {call.name} here")
        if effect == "read" and "ask" not in says:
            return Allow()
        if path := next((path for path in seen.paths if is_protected(path)), None):
            return Ask(f"{call.name} changes {path}, a protected path", protected=True)
        if "ask" in says:
            return Ask(f"the policy wants a person to see {call.name}")
        return Allow() if "allow" in says else Ask(f"{call.name} {EFFECT_WORDS[effect]}")


class _Seen(Struct, frozen=True):
    """What a rule looks at."""

    tool: str
    effect: str
    source: str
    arguments: dict[str, Any]
    paths: list[str]


def _matches(rule: PolicyRule, seen: _Seen) -> bool:
    return (
        _fits(rule.tool, [seen.tool])
        and _fits(rule.effect, [seen.effect])
        and _fits(rule.source, [seen.source])
        and _fits(rule.path, seen.paths)
        and _fits(rule.command, _texts(seen.arguments, ("command",)))
        and _fits(rule.host, [urlsplit(url).hostname or "" for url in _texts(seen.arguments, ("url",))])
    )


def _fits(pattern: str | None, values: Sequence[str]) -> bool:
    return pattern is None or any(fnmatchcase(value, pattern) for value in values)


def _texts(arguments: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [value for name in names if isinstance(value := arguments.get(name), str)]


def _named(value: object, *, is_path: bool = False) -> Iterator[str]:
    """The texts that stand under a path's name, however deep."""
    if isinstance(value, str) and is_path:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _named(item, is_path=is_path)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _named(item, is_path=name in PATH_ARGUMENTS)


def _paths(arguments: dict[str, Any], workspace: Workspace) -> list[str]:
    """The paths a call names, from the workspace's root; one that leads out of it stays as it is."""
    paths = []
    for path in _named(arguments):
        try:
            paths.append(workspace.relative(path))
        except ToolError:
            paths.append(path)
    return paths
