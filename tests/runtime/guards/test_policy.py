"""The policy: what is allowed, what asks, what is denied, and what no rule lifts."""

from __future__ import annotations

import shutil
from typing import Any, cast

import pytest

from autohands.config.schema import PolicyRule
from autohands.protocols.context import Scope, ToolContext
from autohands.protocols.errors import ToolError
from autohands.protocols.guard import Allow, Ask, Deny, Verdict
from autohands.protocols.messages import ToolCall
from autohands.runtime.guards.inforce import InForce
from autohands.runtime.guards.policy import Policy
from autohands.sdk import tool


class Context:
    """As much of a context as a policy looks at."""

    def __init__(self, source: str = "cli") -> None:
        self.workspace = self
        self.root = "/ws"
        self.scope = Scope(task="task_1", session="ses_1", agent="general", source=source)

    def relative(self, path: str) -> str:
        """A path from the root."""
        if ".." in path:
            raise ToolError("path_outside_workspace")
        return path.removeprefix("/ws/")


@tool(effect="read")
async def look(path: str) -> str:
    """Look."""
    return path


@tool(effect="compensable")
async def change(path: str) -> str:
    """Change."""
    return path


@tool(effect="irreversible")
async def run(command: str) -> str:
    """Run."""
    return command


async def judge(rules: list[PolicyRule], name: str, source: str = "cli", **arguments: Any) -> Verdict:
    """What a policy of these rules says."""
    called = {"look": look, "change": change, "run": run}[name]
    ctx = cast("ToolContext", Context(source))
    return await Policy(rules)(called, ToolCall("1", name, arguments), ctx)


async def test_reads_are_allowed_and_everything_else_asks() -> None:
    assert await judge([], "look", path="a") == Allow()
    assert await judge([], "change", path="a") == Ask("change changes something; can be undone")
    assert await judge([], "run", command="ls") == Ask("run may change anything; cannot be undone")


@pytest.mark.parametrize(
    "path", [".git/hooks/pre-commit", ".ENV", "sub/.vscode/settings.json", "/ws/conftest.py", "../.git/config"]
)
async def test_fs12_protected_paths_ask_whatever_the_rules_allow(path: str) -> None:
    verdict = await judge([PolicyRule(then="allow", tool="*")], "change", path=path)
    assert isinstance(verdict, Ask)
    assert verdict.protected


async def test_an_ordinary_path_is_not_protected() -> None:
    assert await judge([PolicyRule(then="allow", tool="change")], "change", path="src/main.py") == Allow()


@pytest.mark.parametrize("order", [1, -1])
async def test_ap05_deny_stands_over_ask_over_allow_in_any_order(order: int) -> None:
    rules = [
        PolicyRule(then="allow", tool="run"),
        PolicyRule(then="ask", command="git *"),
        PolicyRule(then="deny", command="git push*"),
    ]
    assert await judge(rules[::order], "run", command="ls") == Allow()
    assert isinstance(await judge(rules[::order], "run", command="git log"), Ask)
    assert isinstance(await judge(rules[::order], "run", command="git push origin"), Deny)


async def test_a_rule_speaks_only_where_all_its_patterns_fit() -> None:
    rule = PolicyRule(then="deny", tool="look", path="secrets/*", source="schedule")
    assert isinstance(await judge([rule], "look", "schedule", path="secrets/key"), Deny)
    assert await judge([rule], "look", "cli", path="secrets/key") == Allow()
    assert await judge([rule], "look", "schedule", path="public/key") == Allow()


async def test_a_read_may_be_made_to_ask() -> None:
    assert isinstance(await judge([PolicyRule(then="ask", effect="read")], "look", path="a"), Ask)


async def test_ap05_of_rules_that_say_the_same_the_narrower_then_the_later_counts() -> None:
    wide = PolicyRule(then="deny", tool="run")
    narrow = PolicyRule(then="deny", tool="run", command="git push*")
    later = PolicyRule(then="deny", tool="run", command="git push?")
    for rules in ([wide, narrow], [narrow, wide]):
        verdict = await judge(rules, "run", command="git push")
        assert isinstance(verdict, Deny)
        assert 'command = "git push*"' in verdict.reason
    tied = [PolicyRule(then="deny", tool="run", source="cli"), PolicyRule(then="deny", tool="run", source="c?i?")]
    assert Policy(tied).judge(ToolCall("1", "run", {"command": "x"}), "irreversible", Context(), "cli").rule == 0
    assert later != narrow


async def test_ap05_a_conflict_is_seen() -> None:
    rules = [PolicyRule(then="allow", tool="run"), PolicyRule(then="deny", command="git push*")]
    judged = Policy(rules).judge(ToolCall("1", "run", {"command": "git push"}), "irreversible", Context(), "cli")
    assert (judged.matching, judged.rule, judged.conflict) == ((0, 1), 1, True)
    judged = Policy(rules).judge(ToolCall("1", "run", {"command": "ls"}), "irreversible", Context(), "cli")
    assert (judged.matching, judged.rule, judged.conflict) == ((0,), 0, False)


@pytest.mark.parametrize(
    "command", ["git status; rm x", "git status && x", "git $(x)", "git status > x", "git s\nrm x"]
)
async def test_a_rule_that_allows_lets_no_second_command_in(command: str) -> None:
    rule = PolicyRule(then="allow", command="git *")
    assert await judge([rule], "run", command="git status") == Allow()
    assert isinstance(await judge([rule], "run", command=command), Ask)


@pytest.mark.parametrize(
    "command", ["cd x && git push", "sudo git push", "bash -c 'git push origin'", "x=$(git push)", "A=b git push"]
)
async def test_a_rule_that_denies_finds_the_command_wherever_it_stands(command: str) -> None:
    assert isinstance(await judge([PolicyRule(then="deny", command="git push*")], "run", command=command), Deny)


async def test_a_rule_on_a_path_or_a_host_is_heard_for_commands_too() -> None:
    rules = [PolicyRule(then="deny", path="secrets/*"), PolicyRule(then="deny", host="*.example.com")]
    assert isinstance(await judge(rules, "run", command="cat ./secrets/key"), Deny)
    assert isinstance(await judge(rules, "run", command="curl -s https://api.example.com/x"), Deny)
    assert isinstance(await judge(rules, "run", command="cat public/key"), Ask)
    allowed = PolicyRule(then="allow", path="src/*")
    assert isinstance(await judge([allowed], "run", command="cat src/x"), Ask), "a path says nothing of a command"


async def test_a_rule_that_allows_a_path_covers_all_paths_of_a_call() -> None:
    move = ToolCall("1", "move", {"source": "src/a", "destination": "b"})
    policy = Policy([PolicyRule(then="allow", path="src/*")])
    assert isinstance(policy.judge(move, "compensable", Context(), "cli").verdict, Ask)
    inside = ToolCall("1", "move", {"source": "src/a", "destination": "src/b"})
    assert policy.judge(inside, "compensable", Context(), "cli").verdict == Allow()


async def test_ap04_a_rule_whose_time_is_over_says_nothing() -> None:
    def rule(expires: str) -> list[PolicyRule]:
        return [PolicyRule(then="allow", tool="run", expires=expires)]

    assert isinstance(await judge(rule("2020-01-01"), "run", command="ls"), Ask)
    assert isinstance(await judge(rule("2020-01-01T10:00:00+02:00"), "run", command="ls"), Ask)
    assert await judge(rule("2999-01-01"), "run", command="ls") == Allow()


async def test_ap04_a_rule_may_name_the_program_that_the_word_means() -> None:
    found = shutil.which("ls")
    rule = PolicyRule(then="allow", command="ls -l", program=found)
    other = PolicyRule(then="allow", command="ls -l", program="/elsewhere/ls")
    assert await judge([rule], "run", command="ls -l") == Allow()
    assert isinstance(await judge([other], "run", command="ls -l"), Ask)


async def test_ap06_a_change_can_only_tighten_what_is_under_way() -> None:
    loose, tight = Policy([PolicyRule(then="allow", tool="run")]), Policy([PolicyRule(then="deny", tool="run")])
    ctx, call_ = cast("ToolContext", Context()), ToolCall("1", "run", {"command": "ls"})

    async def says(force: InForce, task: str) -> list[str]:
        return [type(await guard(run, call_, ctx)).__name__ for guard in force.of(task)]

    force = InForce((loose,))
    assert await says(force, "one") == ["Allow", "Allow"]
    force.present = (tight,)
    assert await says(force, "one") == ["Allow", "Deny"]
    assert await says(force, "two") == ["Deny", "Allow"]
    force.present = (loose,)
    assert await says(force, "two") == ["Deny", "Allow"], "what began under the stricter one stays under it"
    force.over("two")
    assert await says(force, "two") == ["Allow", "Allow"]
