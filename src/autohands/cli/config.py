"""`autohands config`: what is in force, where each value is from, and changing one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from autohands.cli import options
from autohands.cli.listing import show_items, show_json, show_one
from autohands.config.load import FILE_NAME, Loaded, load
from autohands.config.paths import home_directory, prepare_home


@click.group("config")
def command() -> None:
    """Configuration: show, check, path, set."""


@command.command("show")
@options.everywhere
def show(*, json: bool, config: Path | None) -> None:
    """Every value with its origin; secrets as fingerprints."""
    from autohands.config.show import show as shown

    items = [{"key": each.key, "value": each.value, "origin": each.origin} for each in shown(load_checked(config))]
    show_items(items, ("key", "value", "origin"), json=json, none="nothing is configured")


@command.command("check")
@options.everywhere
def check(*, json: bool, config: Path | None) -> None:
    """Say everything that is wrong, with file, line and key; the tables of extensions included."""
    loaded = load_checked(config)
    found = loaded.file.path.exists()
    if json:
        show_json({"ok": True, "file": str(loaded.file.path), "exists": found})
    else:
        click.echo(f"{loaded.file.path}: {'in order' if found else 'there is none, the defaults are in force'}")


@command.command("path")
@options.everywhere
def path(*, json: bool, config: Path | None) -> None:
    """Where the configuration is read from."""
    place = _path(config)
    if json:
        show_json({"file": str(place), "exists": place.exists(), "home": str(home_directory(os.environ))})
    else:
        click.echo(str(place))


@command.command("set")
@click.argument("key")
@click.argument("value")
@options.everywhere
def set_key(key: str, value: str, *, json: bool, config: Path | None) -> None:
    """Set a dotted KEY (`limits.turns`) to a VALUE of TOML, or text. Comments and the rest of the file stay."""
    from autohands.config.edit import set_value
    from autohands.config.show import show as shown

    prepare_home(home_directory(os.environ))
    loaded = set_value(_path(config), key, value, os.environ)
    for each in shown(loaded):
        if each.key == key:
            show_one({"key": each.key, "value": each.value, "origin": each.origin}, json=json)


def _path(config: Path | None) -> Path:
    return config.absolute() if config else home_directory(os.environ) / FILE_NAME


def load_checked(config: Path | None) -> Loaded:
    """The configuration, with the tables of extensions checked by those that can start."""
    from autohands.core.discovery import discover

    home = home_directory(os.environ)
    kinds: dict[str, type[Any] | None] = {
        found.name: found.extension.config if found.extension else dict for found in discover(home)
    }
    return load(home, os.environ, file=config, extensions=kinds)
