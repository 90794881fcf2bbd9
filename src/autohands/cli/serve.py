"""`autohands serve`: the program that works all day, in the foreground."""

from __future__ import annotations

import asyncio
import logging
import os
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from autohands.cli import options, work

if TYPE_CHECKING:
    from autohands.config.schema import Config
    from autohands.hands import Hands

MOST_EARLY = 1_000


@click.command("serve")
@click.option("--workspace", type=click.Path(path_type=Path), help="The directory whose files the agent works on.")
@options.everywhere
def command(*, workspace: Path | None, json: bool, config: Path | None) -> int:
    """Work until SIGTERM or Ctrl-C: what others submit, schedules, watched folders, channels.

    What runs then has `[limits] drain_seconds` to end; what has not goes on at the next start. SIGHUP reads the
    configuration anew. What goes on is told on standard error, with --json as an object a line on standard output.
    There is no HTTP yet.
    """
    from autohands.daemon.lines import Lines
    from autohands.daemon.service import serve
    from autohands.daemon.telling import Json, Plain, Told

    out, errors = Lines(1, _dropped_json if json else _dropped), Lines(2, _dropped)
    told = Told(out, Json()) if json else Told(errors, Plain())
    early = MemoryHandler(MOST_EARLY, logging.CRITICAL + 1, Told(errors, Plain()))

    def ready(hands: Hands) -> None:
        out.put(_ready(hands, json=json))
        early.setTarget(told)
        work.log_to(told)
        for line in work.warnings(hands):
            logging.getLogger("autohands").warning("%s", line)

    def obeyed(config: Config) -> None:
        work.log_level(getattr(logging, config.log.level.upper()))

    with out.written(), errors.written():
        logging.captureWarnings(capture=True)
        work.log_to(early if json else told)  # the first line of JSON is that it is ready
        try:
            asyncio.run(serve(ready, obeyed, config_file=config, workspace=workspace))
        finally:
            early.flush()
    return 0


def _ready(hands: Hands, *, json: bool) -> str:
    if not json:
        return f"AutoHands serves {hands.home}; work goes on in {hands.workspace}. Ctrl-C ends it."
    said = {"ready": True, "pid": os.getpid(), "home": str(hands.home), "workspace": str(hands.workspace)}
    return msgspec.json.encode(said).decode()


def _dropped(count: int) -> str:
    return f"({count} lines were left out: nobody read them)"


def _dropped_json(count: int) -> str:
    return msgspec.json.encode({"type": "dropped", "lines": count}).decode()
