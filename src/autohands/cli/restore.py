"""`autohands restore`: a copy takes the place of the database."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from autohands.cli import options
from autohands.cli.listing import show_json
from autohands.config.paths import home_directory, prepare_home


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@options.everywhere
def command(*, file: Path, json: bool, config: Path | None) -> int:
    """Put the copy FILE in the place of the database. What stood there is kept in `damaged/`.

    Refused while a program uses the database. Tasks that had not ended when the copy was made may have gone on since:
    they are paused, `autohands task resume ID` takes one up again.
    """
    from autohands.app import damage

    paths = prepare_home(home_directory(os.environ))
    loss = damage.restore(paths.database, file.expanduser().absolute())
    if json:
        show_json(msgspec.to_builtins(loss))
    else:
        click.echo(str(loss))
    return 0
