"""`autohands approval`: questions to a person, seen and answered from any terminal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from autohands.cli import complete, options, work
from autohands.cli.listing import minute, show_items, show_json, show_one, when
from autohands.protocols.errors import NotFound
from autohands.protocols.records import ApprovalRecord
from autohands.protocols.task import TaskRecord

if TYPE_CHECKING:
    from autohands.hands import Hands

_SHORTEST = 8


@click.group("approval")
def command() -> None:
    """Questions to a person: list, show, allow, deny. An id may be cut to a unique beginning."""


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="With those that are answered.")
@click.option("--task", metavar="ID", shell_complete=complete.tasks, help="Only those of a task.")
@options.everywhere
def show_list(*, everything: bool, task: str | None, json: bool, config: Path | None) -> int:
    """What waits for an answer, oldest first."""
    return work.run(_list(everything=everything, task=task, json=json, config=config))


async def _list(*, everything: bool, task: str | None, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        named = (await hands.storage.task(task)).id if task else None
        found = await hands.storage.approvals(task=named, pending=not everything)
    show_items(
        [_item(each) if json else {**_item(each), "asked": minute(each.created)} for each in found],
        ("id", "state", "tool", "asked", "preview"),
        json=json,
        none="nothing was asked yet" if everything else "nothing waits for an answer",
    )
    return 0


@command.command("show")
@click.argument("approval", shell_complete=complete.approvals)
@options.everywhere
def show(approval: str, *, json: bool, config: Path | None) -> int:
    """One question, with all that the call would do."""
    return work.run(_show(approval, json=json, config=config))


async def _show(approval: str, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        found = await _find(hands, approval)
    item = _item(found)
    offered = rule_line(found.rule) if found.rule else "none is offered: such calls are looked at each time"
    show_one(item if json else {**item, "rule": offered}, json=json)
    return 0


@command.command("allow")
@click.argument("approval", shell_complete=complete.approvals)
@click.option("--session", "span", flag_value="session", help="And calls like it, for the rest of its session.")
@click.option("--rule", "span", flag_value="rule", help="And calls like it, by a rule written to the configuration.")
@options.everywhere
def allow(approval: str, *, span: str | None, json: bool, config: Path | None) -> int:
    """Let the call run: this one, as it was shown, once. `approval show` tells which rule is offered."""
    return work.run(_answer(approval, allow=True, span=span, json=json, config=config))


@command.command("deny")
@click.argument("approval", shell_complete=complete.approvals)
@options.everywhere
def deny(approval: str, *, json: bool, config: Path | None) -> int:
    """Say no; the model is told so."""
    return work.run(_answer(approval, allow=False, json=json, config=config))


async def _answer(approval: str, *, allow: bool, json: bool, config: Path | None, span: str | None = None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        found = await _find(hands, approval)
        await hands.decide(found.id, allow=allow, for_session=span is not None)
        if span == "rule" and found.rule is not None:
            click.echo(keep_rule(hands, found.rule), err=True)
        found = await _find(hands, found.id)
        task = await hands.storage.task(found.task)
    if json:
        show_json(_item(found))
    else:
        click.echo(f"{found.id}: {'allowed' if found.state == 'allow' else 'denied'}{_next(task)}")
    return 0


def keep_rule(hands: Hands, rule: dict[str, Any]) -> str:
    """Write a rule to the configuration; the line that says so. Raises `ConfigError`."""
    from autohands.config.edit import add_rule

    path = hands.loaded.file.path
    add_rule(path, rule, os.environ)
    return f"{path}: added the rule {rule_line(rule)}"


def rule_line(rule: dict[str, Any]) -> str:
    """A rule in one line, as TOML has it."""
    return ", ".join(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in rule.items())


def _next(task: TaskRecord) -> str:
    if task.state == "ready" and task.task.in_own_queue:
        return f"; take the task up: autohands task resume {task.id}"
    return f"; task {task.id} is {task.state}"


async def _find(hands: Hands, approval: str) -> ApprovalRecord:
    """A question by its id or the beginning of one. Raises `NotFound`."""
    fits: list[ApprovalRecord] = []
    for pending in (True, False):  # there may be many that were answered
        known = await hands.storage.approvals(pending=pending) if not fits else []
        fits = fits or [each for each in known if each.id == approval]
        fits = fits or [each for each in known if len(approval) >= _SHORTEST and each.id.startswith(approval)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise NotFound(f"several approvals begin with {approval!r}", hint=", ".join(each.id for each in fits[:4]))
    raise NotFound(f"there is no approval {approval!r}", hint="`autohands approval list --all` shows them")


def _item(approval: ApprovalRecord) -> dict[str, Any]:
    return {
        "id": approval.id,
        "state": approval.state,
        "task": approval.task,
        "turn": approval.turn,
        "index": approval.index,
        "tool": approval.tool,
        "effect": approval.effect,
        "reason": approval.reason,
        "preview": approval.preview,
        "by": approval.by,
        "asked": when(approval.created),
        "expires": when(approval.expires),
        "rule": approval.rule,
    }
