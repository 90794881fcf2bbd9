"""The command `autohands`: a group that loads a command's module when the command is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from autohands import __version__
from autohands.cli import fail

# Each name stands for the module of the same name; the line is what `--help` shows without loading it.
COMMANDS = {
    "run": "Carry out one request and end.",
    "chat": "Talk: streaming, approvals, /commands, words to a run under way.",
    "demo": "Watch real tools at work: a replayed model, no key, no network.",
    "serve": "Work all day: schedules, watched folders, channels, what others submit.",
    "task": "list, show, submit, cancel, pause, resume, retry, decide, fork, replay, signal.",
    "approval": "list, show, allow, deny: questions to a person.",
    "stop-all": "The kill switch: end everything, let nothing begin until --clear.",
    "policy": "show, explain, test: what the agent may do.",
    "schedule": "list, show, add, remove, pause, resume, history, run, preview.",
    "queue": "list: what waits, and its limits.",
    "topic": "list, publish, subscribe, unsubscribe, request.",
    "webhook": "list, deliver: what others report.",
    "outbox": "list, show, send, drop: messages on their way out.",
    "cost": "Spent, put aside and to be expected: by day, agent, model, session, schedule.",
    "session": "list, show, rename, delete, search.",
    "tool": "list, show, call.",
    "extension": "list, info, enable, disable.",
    "provider": "list, models, test.",
    "config": "show, check, path, set, unset.",
    "backup": "Copy the database while it is in use, and check the copy.",
    "restore": "Put a copy back in the place of the database.",
    "doctor": "What is missing, what is wrong, how to mend it.",
    "completion": "The completion script for bash, zsh or fish.",
}


class Commands(click.Group):
    """The table above as a click group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"autohands.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; a miss names the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def autohands() -> None:
    """An agent that works on your own machine, survives kill -9, and does nothing twice.

    Every command takes --json and --config FILE. Exit status: 0 done, 1 failed, 2 usage or configuration,
    3 a limit or the budget, 4 denied, 130 interrupted.
    """


def main() -> NoReturn:
    """Run the command line of this process and exit with its status."""
    secure_streams()
    report = fail.Report(json=fail.flagged(sys.argv, "--json"), debug=fail.debugging(sys.argv))
    sys.excepthook = report.crash
    sys.exit(fail.guarded(lambda: autohands.main(prog_name="autohands", standalone_mode=False), report))


def secure_streams() -> None:
    """Fill closed standard descriptors, so that no database gets one of their numbers; let every text be printed."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
