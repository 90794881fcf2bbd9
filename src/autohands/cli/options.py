"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct

from autohands.cli import complete
from autohands.protocols.task import Consent, Task

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False, path_type=Path)
DIRECTORY = click.Path(exists=True, file_okay=False, readable=False, path_type=Path)  # `check_workspace` says more


class Given(Struct, frozen=True, kw_only=True):
    """What was given to a command that runs work. `budget` is in US dollars."""

    json: bool = False
    config: Path | None = None
    model: str | None = None
    agent: str | None = None
    session: str | None = None
    workspace: Path | None = None
    yes: bool = False
    max_turns: int | None = None
    budget: float | None = None
    record: Path | None = None

    def task(self, prompt: str, agent: str, consent: Consent) -> Task:
        """The task that these options and a prompt make."""
        return Task(
            prompt=prompt,
            agent=agent,
            consent=consent,
            source="cli",
            model=self.model,
            session=self.session,
            max_turns=self.max_turns,
            budget_micro_usd=None if self.budget is None else round(self.budget * 1_000_000),
            record=None if self.record is None else str(self.record.absolute()),
        )


def everywhere(command: F) -> F:
    """--json, --config and --debug."""
    for option in (
        click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback for an unforeseen error."),
        click.option("--config", type=_FILE, metavar="FILE", help="Another configuration file than the home's."),
        click.option("--json", is_flag=True, help="Machine-readable output."),
    ):
        command = option(command)
    return command


def work(command: F) -> F:
    """What a request may be given: --model, --agent, --session and the rest."""
    for option in (
        click.option("--record", type=_FILE, metavar="FILE", help="Record the model's part, to be replayed."),
        click.option("--budget", type=float, metavar="USD", callback=_budget, help="Stop before this is spent."),
        click.option("--max-turns", type=click.IntRange(min=1), metavar="N", help="Stop after so many model calls."),
        click.option("--yes", is_flag=True, help="Allow effects inside the workspace without asking."),
        click.option("--workspace", type=DIRECTORY, metavar="DIR", help="Where to work; default: here."),
        click.option(
            "--session",
            metavar="ID",
            callback=_session,
            shell_complete=complete.sessions,
            help="Continue (or name) a conversation.",
        ),
        click.option("--agent", metavar="NAME", help="Who does it; default: general."),
        click.option("--model", metavar="PROVIDER/MODEL", help="Which model to ask."),
    ):
        command = option(command)
    return command


def reply_to(command: F) -> F:
    """--reply-to."""
    return click.option(
        "--reply-to", metavar="CHANNEL:THREAD", callback=_address, help="Where the answer is sent, as telegram:12345."
    )(command)


def _address(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not all(value.partition(":")):
        raise click.BadParameter(f"{value!r} is no address: write CHANNEL:THREAD, as telegram:12345", ctx, param)
    return value


def _budget(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and (not math.isfinite(value) or value < 0):
        raise click.BadParameter(f"{value} is no amount of US dollars", ctx, param)
    return value


def is_session_name(text: str) -> bool:
    """Whether a text can name a session."""
    import re

    return re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", text) is not None


def _session(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_session_name(value):
        raise click.BadParameter("a session's name has at most 128 of A-Z a-z 0-9 . _ : -", ctx, param)
    return value
