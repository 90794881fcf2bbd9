"""The policy: what the rules say of a call, and what holds where no rule speaks.

The hard floor first. Then deny stands over ask, ask over allow. Without a rule a `read` is allowed and every other
effect asks. A protected path asks in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from autohands.config.schema import PolicyRule
from autohands.core.protected import is_protected
from autohands.protocols.context import ToolContext
from autohands.protocols.guard import Allow, Ask, Deny, Verdict
from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import EFFECT_WORDS, Effect, Tool
from autohands.runtime.guards.rules import Call, Rooted, deciding, fits, label, seen

FLOOR = "the hard floor forbids it, and nothing lifts that: {reason}"
Lowest = Callable[[ToolCall, Effect, Rooted], "str | None"]


class Judged(Struct, frozen=True, kw_only=True):
    """A verdict and how it came about: the rules that fit (by place), the one that counts, whether they disagree."""

    verdict: Verdict
    matching: tuple[int, ...] = ()
    rule: int | None = None
    conflict: bool = False
    floor: str | None = None
    protected: str | None = None


class Policy:
    """A guard made of rules, above a floor."""

    def __init__(self, rules: Sequence[PolicyRule], floor: Lowest | None = None) -> None:
        self.rules = tuple(rules)
        self._floor = floor

    async def __call__(self, tool: Tool, call: ToolCall, ctx: ToolContext) -> Verdict:
        """Allow, ask or deny this call."""
        effect = tool.effect(call.arguments)
        return (
            Allow()
            if effect == "read" and not self.rules
            else self.judge(call, effect, ctx.workspace, ctx.scope.source).verdict
        )

    def judge(self, call: ToolCall, effect: Effect, place: Rooted, source: str) -> Judged:
        """What becomes of a call, and why."""
        if self._floor and (reason := self._floor(call, effect, place)):
            return Judged(verdict=Deny(FLOOR.format(reason=reason)), floor=reason)
        looked = seen(call, effect, place, source)
        matching = tuple(place for place, rule in enumerate(self.rules) if fits(rule, looked))
        rule = deciding(self.rules, matching)
        protected = None
        if effect != "read":
            protected = next((path for path in (*looked.paths, *looked.cwd) if is_protected(path)), None)
        return Judged(
            verdict=self._verdict(looked, effect, rule, protected),
            matching=matching,
            rule=rule,
            conflict=len({self.rules[place].then for place in matching}) > 1,
            protected=protected,
        )

    def _verdict(self, call: Call, effect: Effect, rule: int | None, protected: str | None) -> Verdict:
        says = None if rule is None else self.rules[rule].then
        if rule is not None and says == "deny":
            return Deny(f"the policy forbids {call.tool} here ({label(self.rules[rule])})")
        if effect == "read" and says != "ask":
            return Allow()
        if protected is not None:
            return Ask(f"{call.tool} changes {protected}, a protected path", protected=True)
        if says == "ask":
            return Ask(f"the policy wants a person to see {call.tool}")
        return Allow() if says == "allow" else Ask(f"{call.tool} {EFFECT_WORDS[effect]}")
