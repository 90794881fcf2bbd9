"""`autohands extension`: what is there, whether it can start, and who may."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from autohands.cli import options
from autohands.cli.listing import show_items, show_one
from autohands.core.discovery import Found, disable, discover, enable
from autohands.core.names import nearest
from autohands.protocols.errors import NotFound


@click.group("extension")
def command() -> None:
    """Extensions: list, info, enable, disable."""


@command.command("list")
@options.everywhere
def show_list(*, json: bool, **_: Any) -> None:
    """Everything that is installed or lies in the home's `extensions` folder."""
    items = [_brief(found) for found in discover(_home())]
    show_items(items, ("name", "version", "status", "summary", "reason"), json=json, none="no extensions")


@command.command("info")
@click.argument("name")
@options.everywhere
def info(name: str, *, json: bool, **_: Any) -> None:
    """One extension: where it is from, what it needs, why it does not start."""
    show_one(_brief(_find(name)), json=json)


@command.command("enable")
@click.argument("name")
@options.everywhere
def switch_on(name: str, *, json: bool, **_: Any) -> None:
    """Let an extension run from the next start on. For a folder, its content as it is now is what you agree to."""
    show_one(_brief(enable(_home(), _find(name).name)), json=json)


@command.command("disable")
@click.argument("name")
@options.everywhere
def switch_off(name: str, *, json: bool, **_: Any) -> None:
    """Keep an extension from running from the next start on."""
    disable(_home(), _find(name).name)
    show_one(_brief(_find(name)), json=json)


def _home() -> Path:
    from autohands.config.paths import home_directory, prepare_home

    return prepare_home(home_directory(os.environ)).home


def _find(name: str) -> Found:
    everything = discover(_home())
    for found in everything:
        if found.name == name:
            return found
    near = nearest(name, [found.name for found in everything])
    hint = f"did you mean {' or '.join(near)}?" if near else "`autohands extension list` shows all"
    raise NotFound(f"there is no extension named {name!r}", hint=hint)


def _brief(found: Found) -> dict[str, Any]:
    manifest = found.manifest
    return {
        "name": found.name,
        "version": manifest.version if manifest else None,
        "status": found.status,
        "reason": found.reason,
        "summary": manifest.summary if manifest else None,
        "origin": found.origin,
        "requires": list(manifest.requires) if manifest else [],
        "permissions": list(manifest.permissions) if manifest else [],
        "extra": manifest.extra if manifest else None,
    }
