"""`autohands extension`: what is there, whether it starts, and who may."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from autohands.cli import options, work
from autohands.cli.fail import DONE, FAILED
from autohands.cli.listing import show_items, show_one
from autohands.core.discovery import Found, disable, discover, enable
from autohands.core.names import nearest
from autohands.protocols.errors import ConfigError, NotFound
from autohands.sdk.clip import escape

if TYPE_CHECKING:
    from autohands.hands import Hands


class Seen(Struct, frozen=True):
    """An extension that was found, how far it comes (`ready` means that it runs), why no further, and its tools."""

    found: Found
    status: str
    reason: str
    tools: tuple[str, ...] = ()


@click.group("extension")
def command() -> None:
    """Extensions: list, info, enable, disable."""


@command.command("list")
@options.everywhere
def show_list(*, json: bool, config: Path | None) -> int:
    """Everything that is installed or lies in the home's `extensions` folder, and whether it starts."""
    items = [_brief(seen) for seen in work.run(_look(config))]
    show_items(items, ("name", "version", "status", "summary", "reason"), json=json, none="no extensions")
    return DONE


@command.command("info")
@click.argument("name")
@options.everywhere
def info(name: str, *, json: bool, config: Path | None) -> int:
    """One extension: where it is from, its tools and its keys, what it needs, why it does not start."""
    seen = _pick(name, work.run(_look(config)))
    show_one({**_brief(seen), "tools": list(seen.tools), "configuration": _keys(seen.found)}, json=json)
    return DONE


@command.command("enable")
@click.argument("name")
@options.everywhere
def switch_on(name: str, *, json: bool, config: Path | None) -> int:
    """Let an extension run from the next start on. For a folder, its content as it is now is what you agree to."""
    from autohands.config.paths import prepare_home

    enable(prepare_home(_home()).home, _known(name))
    seen = _pick(name, work.run(_look(config)))
    show_one(_brief(seen), json=json)
    return DONE if seen.status == "ready" else FAILED


@command.command("disable")
@click.argument("name")
@options.everywhere
def switch_off(name: str, *, json: bool, **_: Any) -> int:
    """Keep an extension from running from the next start on."""
    from autohands.config.paths import prepare_home

    disable(prepare_home(_home()).home, _known(name))
    show_one(_brief(_pick(name, _without_start(discover(_home())))), json=json)
    return DONE


def _home() -> Path:
    from autohands.config.paths import home_directory

    return home_directory(os.environ)


async def _look(config: Path | None) -> list[Seen]:
    """Start what there is and see how far it comes; where the configuration is wrong, what can be told without."""
    try:
        async with work.looking(config=config, serve=True) as hands:
            return _started(hands)
    except ConfigError as error:
        click.echo(escape(f"warning: not started, as the configuration is wrong: {error.text}"), err=True)
        return _without_start(discover(_home()))


def _started(hands: Hands) -> list[Seen]:
    states = {each.name: each for each in hands.kernel.extensions()}
    seen = []
    for found in hands.found:
        state = states.get(found.name) if found.status == "ready" else None
        if state is None:
            seen.append(Seen(found, found.status, found.reason))
        else:
            tools = tuple(sorted(name for name in hands.tools if hands.tools.owner(name) == found.name))
            seen.append(Seen(found, "ready" if state.state == "running" else state.state, state.reason, tools))
    return seen


def _without_start(everything: Sequence[Found]) -> list[Seen]:
    return [Seen(found, found.status, found.reason) for found in everything]


def _known(name: str) -> str:
    """The name, if there is such an extension. Raises `NotFound` with the nearest."""
    return _pick(name, _without_start(discover(_home()))).found.name


def _pick(name: str, everything: Sequence[Seen]) -> Seen:
    for seen in everything:
        if seen.found.name == name:
            return seen
    near = nearest(name, [seen.found.name for seen in everything])
    hint = f"did you mean {' or '.join(near)}?" if near else "`autohands extension list` shows all"
    raise NotFound(f"there is no extension named {name!r}", hint=hint)


def _brief(seen: Seen) -> dict[str, Any]:
    manifest = seen.found.manifest
    return {
        "name": seen.found.name,
        "version": manifest.version if manifest else None,
        "status": seen.status,
        "reason": seen.reason,
        "summary": manifest.summary if manifest else None,
        "origin": seen.found.origin,
        "requires": list(manifest.requires) if manifest else [],
        "permissions": list(manifest.permissions) if manifest else [],
        "extra": manifest.extra if manifest else None,
    }


def _keys(found: Found) -> list[str]:
    """The keys of its table in the configuration."""
    kind = found.extension.config if found.extension else None
    if kind is None:
        return []
    return [f"extensions.{found.name}.{field.encode_name}" for field in msgspec.structs.fields(kind)]
