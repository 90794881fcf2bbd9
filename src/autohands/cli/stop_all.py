"""`autohands stop-all`: the kill switch."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from autohands.cli import options, work
from autohands.cli.fail import DONE, FAILED
from autohands.cli.listing import show_json
from autohands.hands import Hands

ENOUGH_SECONDS = 5.0
LOOK_SECONDS = 0.1


@click.command("stop-all")
@click.option("--clear", is_flag=True, help="Let things happen again.")
@options.everywhere
def command(*, clear: bool, json: bool, config: Path | None) -> int:
    """End everything that runs, and let nothing begin until --clear, in any program and after any restart.

    The same as a file STOP in the state directory.
    """
    return work.run(_command(clear=clear, json=json, config=config))


async def _command(*, clear: bool, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        if clear:
            was, left = hands.clear_stop(), 0
        else:
            was, left = True, await _stopped(hands)
    if json:
        show_json({"stopped": not clear, "running": left})
    elif clear:
        click.echo("things may happen again" if was else "nothing was stopped")
    else:
        click.echo(f"everything is stopped; {f'{left} runs have not ended yet' if left else 'nothing runs'}")
    return FAILED if left else DONE


async def _stopped(hands: Hands) -> int:
    """Stop everything; how many runs of living programs are left after a few seconds."""
    await hands.stop_all()
    running = set[str]()
    with_time = ENOUGH_SECONDS
    while with_time > 0:
        gone = set(await hands.storage.interrupted())
        running = {task.id for task in await hands.storage.tasks(states=["running"], limit=10_000)} - gone
        if not running:
            break
        await asyncio.sleep(LOOK_SECONDS)
        with_time -= LOOK_SECONDS
    return len(running)
