"""`autohands backup`: a copy of the database, made while it is in use, and checked."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from autohands.cli import options
from autohands.cli.listing import minute, show_items, show_json, when
from autohands.config.paths import Paths, home_directory, prepare_home
from autohands.protocols.errors import AutoHandsError, NotFound
from autohands.protocols.upkeep import Backup


@click.command("backup")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--list", "listing", is_flag=True, help="Show the copies in `backups/`, each checked, instead.")
@options.everywhere
def command(*, file: Path | None, listing: bool, json: bool, config: Path | None) -> int:
    """Copy the database to FILE, else into `backups/` of the state directory, while programs go on writing.

    The copy is read back whole and compared before it counts. Images lie beside it, in FILE.blobs.
    """
    from autohands.app import backups

    paths = Paths(home_directory(os.environ))
    if listing:
        show_items(
            _kept(paths, json=json), ("file", "made", "tasks", "sessions", "state"), json=json, none="no copies yet"
        )
        return 0
    if not paths.database.exists():
        raise NotFound(f"{paths.database} does not exist", hint="there is nothing to copy yet")
    prepare_home(paths.home)
    made = backups.back_up(paths.database, file.expanduser().absolute() if file else None)
    if json:
        show_json(shown(made))
    else:
        click.echo(f"{made.path}: {made.tasks} tasks in {made.sessions} sessions, {made.events} events, checked")
        if made.missing:
            click.echo(f"{made.missing} images that are spoken of are gone, here as in the database", err=True)
    return 0


def shown(backup: Backup) -> dict[str, object]:
    """A copy as scripts get it."""
    fields: dict[str, object] = msgspec.to_builtins(backup)
    return {**fields, "made": when(backup.made)}


def _kept(paths: Paths, *, json: bool) -> list[dict[str, object]]:
    from autohands.app import backups

    items: list[dict[str, object]] = []
    for path in backups.kept(paths.home / backups.FOLDER):
        try:
            found = backups.verify(path)
        except AutoHandsError as error:
            items.append({"file": str(path), "state": error.text})
        else:
            items.append(
                {
                    "file": str(path),
                    "made": when(found.made) if json else minute(found.made),
                    "tasks": found.tasks,
                    "sessions": found.sessions,
                    "state": "good",
                }
            )
    return items
