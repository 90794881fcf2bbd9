"""`autohands run`: one request, from its prompt to its end."""

from __future__ import annotations

from typing import Any

import click

from autohands.cli import options, work
from autohands.cli.console import Console, check_model, check_record, check_workspace, whole_session
from autohands.cli.fail import DENIED, INTERRUPTED
from autohands.cli.lines import read_all
from autohands.cli.options import Given

_MOST_BYTES = 40_000_000


@click.command("run")
@click.argument("prompt")
@options.work
@options.everywhere
def command(prompt: str, **given: Any) -> int:
    """Carry out one request and end. PROMPT is what to do; - reads it from standard input.

    With --json standard output is one event a line; the last is run.finished, or task.waiting where the run needs an
    approval that nobody can give. With --session the interrupted tasks of that session are finished first.
    """
    text = read_all(_MOST_BYTES) if prompt == "-" else prompt
    return work.run(carry_out(text, Given(**given)))


async def carry_out(prompt: str, given: Given) -> int:
    """Finish what the session has left unfinished, then the prompt; the exit status."""
    async with work.opened(config=given.config, workspace=given.workspace) as hands:
        check_record(given)
        given = await whole_session(hands, given)
        console = Console(hands, json=given.json, yes=given.yes, session=given.session)
        agent = given.agent or hands.config.agent
        check_model(hands, given.model, agent)
        check_workspace(hands, given)
        if (status := await console.catch_up(given.session)) in (DENIED, INTERRUPTED):
            return status
        return await console.run(given.task(prompt, agent, console.consent))
