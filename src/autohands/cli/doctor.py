"""`autohands doctor`: what is missing, what is wrong, and how to mend it."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from autohands.cli import options, work
from autohands.cli.checks import (
    Finding,
    check_commands,
    check_config,
    check_database,
    check_disk,
    check_extensions,
    check_home,
    check_providers,
    check_python,
    check_search,
    fix_database,
)
from autohands.cli.fail import DONE, FAILED, colourful
from autohands.cli.listing import cell, show_json
from autohands.cli.paper import paint
from autohands.cli.served import check_service

_MARKS = {"ok": ("✓", "green"), "missing": ("!", "yellow"), "wrong": ("✗", "red")}


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Replace a damaged database by its newest good copy, or begin anew.")
@options.everywhere
def command(*, fix: bool, json: bool, config: Path | None) -> int:
    """Look at everything that a run needs. Exit status 1 where something is wrong; what is only missing is told."""
    findings = [check_python(), check_home(), check_disk(), check_config(config)]
    if fix and not _wrong(findings):
        findings.append(fix_database())
    findings += check_database()
    if not _wrong(findings):
        findings += work.run(_look_inside(config))
    findings += [*check_service(), check_search(), check_commands()]
    if json:
        show_json({"ok": not _wrong(findings), "items": msgspec.to_builtins(findings)})
    else:
        _show(findings)
    return FAILED if _wrong(findings) else DONE


async def _look_inside(config: Path | None) -> list[Finding]:
    """What only an open AutoHands can tell."""
    async with work.looking(config=config, serve=True) as hands:
        return [*check_extensions(hands), check_providers(hands)]


def _wrong(findings: list[Finding]) -> bool:
    return any(finding.status == "wrong" for finding in findings)


def _show(findings: list[Finding]) -> None:
    colour = colourful(sys.stdout)
    for finding in findings:
        lines = [cell(line) for line in finding.message.splitlines()] or [""]
        mark, style = _MARKS[finding.status]
        click.echo(f"{paint(mark, style, colour=colour)} {finding.check:12} {lines[0]}")
        for line in lines[1:]:
            click.echo(f"  {'':12} {line}")
        if finding.remedy:
            click.echo(f"  {'':12} → {cell(finding.remedy)}")
