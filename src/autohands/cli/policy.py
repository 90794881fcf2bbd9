"""`autohands policy`: what the agent may do, why, and what a change of it would have changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from autohands.cli import options, work
from autohands.cli.listing import minute, show_items, show_json, when
from autohands.cli.tool import read_arguments
from autohands.core.names import beneath, show_argument
from autohands.protocols.errors import NotFound
from autohands.protocols.guard import Allow, Deny
from autohands.protocols.messages import ToolCall
from autohands.protocols.task import TaskRecord
from autohands.protocols.tool import Tool
from autohands.runtime.guards.past import PastCall, past_calls
from autohands.runtime.guards.policy import Judged
from autohands.runtime.guards.rules import expired, label
from autohands.sdk.clip import clip_line, escape
from autohands.sdk.identity import now_ms

if TYPE_CHECKING:
    from autohands.hands import Hands

DEFAULTS = (
    "the hard floor is denied in any case: the root, the home and the workspace itself are not deleted, disks not "
    "written, AutoHands' own state and configuration not touched",
    "a read is allowed, every other effect asks, a protected path asks even with --yes",
)
_MS = 1000
_CALL = 80


class Named:
    """A directory as rules see it: by its name alone, so that it need not be there any more."""

    def __init__(self, root: str) -> None:
        self.root = root

    def relative(self, path: str) -> str:
        """The path from the root. Raises `ToolError` where it leads out of it."""
        return show_argument(beneath(path, (self.root,)))


@click.group("policy")
def command() -> None:
    """What the agent may do: show, explain, test."""


@command.command("show")
@options.everywhere
def show(*, json: bool, config: Path | None) -> int:
    """The rules in their order, and what holds where none speaks."""
    return work.run(_show(json=json, config=config))


async def _show(*, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        rows = [_rule(hands, place) for place in range(len(hands.config.policy.rule))]
    if not json:
        for line in DEFAULTS:
            click.echo(line, err=True)
    show_items(rows, ("number", "rule", "from", "state"), json=json, none="there are no rules")
    return 0


def _rule(hands: Hands, place: int) -> dict[str, Any]:
    rule = hands.config.policy.rule[place]
    origin = hands.loaded.origin(("policy", "rule", place))
    return {"number": place + 1, "rule": label(rule), "from": origin, "state": "over" if expired(rule) else "in force"}


@command.command("explain")
@click.argument("tool")
@click.argument("arguments", default="{}")
@click.option("--source", default="cli", metavar="NAME", help="Where the task would come from.")
@options.everywhere
def explain(tool: str, arguments: str, *, source: str, json: bool, config: Path | None) -> int:
    """What would become of a call, and why. ARGUMENTS is a JSON object. Nothing runs."""
    return work.run(_explain(tool, read_arguments(arguments), source=source, json=json, config=config))


async def _explain(name: str, arguments: dict[str, Any], *, source: str, json: bool, config: Path | None) -> int:
    async with work.looking(config=config, serve=True) as hands:
        tool = hands.tools.get(name)
        valid = tool.validate(arguments)
        call = ToolCall("explained", name, msgspec.to_builtins(valid))
        judged = hands.policy.judge(call, tool.effect(valid), Named(str(hands.workspace)), source)
        found = _explained(hands, call, tool.effect(valid), judged)
    if json:
        show_json(found)
        return 0
    click.echo(f"{found['verdict']}: {found['reason'] or 'nothing speaks against it'}")
    for each in found["matching"]:
        mark = "decides" if each["decides"] else "matches"
        click.echo(f"  {mark} rule {each['number']} ({each['from']}): {each['rule']}")
    if found["conflict"]:
        click.echo("  conflict: rules that match say different things; deny stands over ask, ask over allow")
    return 0


def _explained(hands: Hands, call: ToolCall, effect: str, judged: Judged) -> dict[str, Any]:
    verdict = judged.verdict
    return {
        "tool": call.name,
        "effect": effect,
        "verdict": word(judged),
        "reason": None if isinstance(verdict, Allow) else verdict.reason,
        "matching": [{**_rule(hands, place), "decides": place == judged.rule} for place in judged.matching],
        "conflict": judged.conflict,
        "floor": judged.floor,
        "protected": judged.protected,
    }


def word(judged: Judged) -> str:
    """A verdict as a rule says it."""
    if isinstance(judged.verdict, Allow):
        return "allow"
    return "deny" if isinstance(judged.verdict, Deny) else "ask"


@command.command("test")
@click.option("--last", default="30d", metavar="TIME", help="How far back: 90m, 12h, 30d (the default).")
@options.everywhere
def test(*, last: str, json: bool, config: Path | None) -> int:
    """Which recorded calls would be decided otherwise now. Nothing runs."""
    return work.run(_test(_milliseconds(last), json=json, config=config))


async def _test(span: int, *, json: bool, config: Path | None) -> int:
    rows, calls = list[dict[str, Any]](), 0
    async with work.looking(config=config, serve=True) as hands:
        async for record in _ended_since(hands, now_ms() - span):
            for each in await _past(hands, record):
                calls += 1
                if each.then != each.now:
                    rows.append(_differing(hands, record, each, json=json))
    if not json:
        click.echo(f"{calls:,} calls, {len(rows):,} would be decided otherwise", err=True)
    show_items(rows, ("at", "task", "tool", "call", "then", "now", "why"), json=json, none="nothing would change")
    return 0


async def _ended_since(hands: Hands, since: int) -> AsyncIterator[TaskRecord]:
    after = (since, 0)
    while page := await hands.storage.ended(after):
        for record in page:
            yield record
        after = (page[-1].ended or 0, page[-1].seq)


async def _past(hands: Hands, record: TaskRecord) -> list[PastCall]:
    recorded = (
        await hands.storage.steps(record.id),
        await hands.storage.approvals(task=record.id, pending=False),
    )
    place = Named(record.task.workspace or str(hands.workspace))

    def find(name: str) -> Tool | None:
        try:
            return hands.tools.get(name)
        except NotFound:
            return None

    return list(past_calls(record.task, recorded, hands.policy, find, place))


def _differing(hands: Hands, record: TaskRecord, each: PastCall, *, json: bool) -> dict[str, Any]:
    judged, arguments = each.judged, msgspec.json.encode(each.call.arguments).decode()
    by = _rule(hands, judged.rule)["from"] if judged.rule is not None else "no rule speaks of it"
    return {
        "at": when(record.created) if json else minute(record.created),
        "task": record.id,
        "turn": each.turn,
        "index": each.index,
        "tool": each.call.name,
        "call": each.call.arguments if json else escape(clip_line(arguments, _CALL)),
        "then": each.then,
        "now": each.now,
        "why": judged.floor or by,
    }


def _milliseconds(text: str) -> int:
    units = {"m": 60, "h": 3600, "d": 86_400}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdigit():
        raise click.BadParameter(f"{text!r} is no time: write 90m, 12h or 30d", param_hint="--last")
    return int(number) * units[unit] * _MS
