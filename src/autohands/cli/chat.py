"""`autohands chat`: an interactive conversation; without a terminal it reads a line for each request."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from autohands.cli import options, work
from autohands.cli.console import Console, check_model, check_record, check_workspace, whole_session
from autohands.cli.options import Given
from autohands.cli.talk import Talk
from autohands.protocols.errors import AutoHandsError

if TYPE_CHECKING:
    from autohands.hands import Hands


@click.command("chat")
@options.work
@options.everywhere
def command(**given: Any) -> int:
    """Talk. Lines that begin with / are commands, /help lists them.

    What you type while a run is under way is said to it; Ctrl-C stops the run, Ctrl-D leaves.
    """
    return work.run(_chat(Given(**given)))


async def _chat(given: Given) -> int:
    async with work.opened(config=given.config, workspace=given.workspace) as hands:
        check_model(hands, given.model, given.agent or hands.config.agent)
        check_workspace(hands, given)
        check_record(given)
        given = await whole_session(hands, given)
        if _is_editor_possible(given):
            from autohands.cli.prompt import Editor

            return await Editor(hands, given).run()
        return await _read_lines(hands, given)


def _is_editor_possible(given: Given) -> bool:
    return (
        not given.json
        and os.environ.get("TERM", "dumb") != "dumb"
        and all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    )


async def _read_lines(hands: Hands, given: Given) -> int:
    """One request a line, each carried to its end; the status of the last."""
    console = Console(hands, json=given.json, yes=given.yes, session=given.session)
    talk = Talk(hands, given, console.consent, console.screen.tell)
    status = await console.catch_up(given.session)
    while not talk.left and (line := await console.lines.read()) is not None:
        if line.startswith("/"):
            await talk.command(line.strip())
        elif line.strip():
            try:
                status = await console.run(talk.task(line), talk.accepted)
            except AutoHandsError as error:
                console.screen.tell(error.text)
    return status
