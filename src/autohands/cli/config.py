"""`autohands config`: what is in force, where each value is from, and changing one, also in a file that is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from autohands.cli import options
from autohands.cli.fail import DONE, USAGE
from autohands.cli.listing import show_items, show_json, show_one
from autohands.config.load import FILE_NAME, Loaded, load, problem_line, read_source, salvage, strays
from autohands.config.paths import home_directory, prepare_home
from autohands.sdk.clip import escape


@click.group("config")
def command() -> None:
    """Configuration: show, check, path, set, unset."""


@command.command("show")
@options.everywhere
def show(*, json: bool, config: Path | None) -> int:
    """Every value with its origin; secrets as fingerprints. Where keys are wrong: the others, and what is wrong."""
    source = read_source(home_directory(os.environ), config)
    loaded, problems = salvage(source, os.environ, extensions=_kinds())
    lines = [problem_line(each, loaded) for each in problems]
    if json:
        show_json({"items": _items(loaded), **({"problems": lines} if lines else {})})
    else:
        show_items(_items(loaded), ("key", "value", "origin"), json=False, none="nothing is configured")
    if lines:
        _warn(
            "\n".join(
                [
                    *lines,
                    "nothing starts until that is mended: autohands config set KEY VALUE, or unset KEY",
                ]
            )
        )
    _warn_of_strays()
    return USAGE if lines else DONE


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
    _warn_of_strays()


@command.command("path")
@options.everywhere
def path(*, json: bool, config: Path | None) -> None:
    """Where the configuration is read from."""
    place = _path(config)
    if json:
        show_json({"file": str(place), "exists": place.exists(), "home": str(home_directory(os.environ))})
    else:
        click.echo(str(place))


@command.command("set", context_settings={"ignore_unknown_options": True})  # -5 is a value
@click.argument("key")
@click.argument("value")
@options.everywhere
def set_key(key: str, value: str, *, json: bool, config: Path | None) -> None:
    """Set a dotted KEY (`limits.turns`) to a VALUE of TOML, or text. Comments and the rest of the file stay."""
    from autohands.config.edit import set_value

    prepare_home(home_directory(os.environ))
    loaded = set_value(_path(config), key, value, os.environ, _kinds())
    _show_key(key, loaded, json=json)
    workspace = loaded.config.workspace
    if key == "workspace" and workspace and not Path(workspace).expanduser().is_dir():
        _warn(f"warning: {workspace} is no directory (yet)")


@command.command("unset")
@click.argument("key")
@options.everywhere
def unset_key(key: str, *, json: bool, config: Path | None) -> None:
    """Take a dotted KEY, or a whole table, out of the file: its default is in force again."""
    from autohands.config.edit import unset_value

    loaded = unset_value(_path(config), key, os.environ, _kinds())
    if _items(loaded, key):
        _show_key(key, loaded, json=json)
    elif json:
        show_json({"items": []})
    else:
        click.echo(f"{key} is not set any more")


def _items(loaded: Loaded, key: str = "") -> list[dict[str, Any]]:
    """What is in force: everything, or one key with what is beneath it."""
    from autohands.config.show import show as shown

    return [
        {"key": each.key, "value": each.value, "origin": each.origin}
        for each in shown(loaded)
        if not key or each.key == key or each.key.startswith((f"{key}.", f"{key}["))
    ]


def _show_key(key: str, loaded: Loaded, *, json: bool) -> None:
    items = _items(loaded, key)
    if [item["key"] for item in items] == [key]:
        show_one(items[0], json=json)
    else:
        show_items(items, ("key", "value", "origin"), json=json, none=f"{key} is set, and empty")


def _warn(text: str) -> None:
    click.echo(escape(text), err=True)


def _warn_of_strays() -> None:
    for line in strays(os.environ):
        _warn(f"warning: {line}")


def _path(config: Path | None) -> Path:
    return config.absolute() if config else home_directory(os.environ) / FILE_NAME


def load_checked(config: Path | None) -> Loaded:
    """The configuration, with the tables of extensions checked by those that can start."""
    return load(home_directory(os.environ), os.environ, file=config, extensions=_kinds())


def _kinds() -> dict[str, type[Any] | None]:
    """Who reads the tables of extensions."""
    from autohands.core.discovery import discover

    found = discover(home_directory(os.environ))
    return {each.name: each.extension.config if each.extension else dict for each in found}
