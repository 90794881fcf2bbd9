"""`autohands tool`: what the model may call, and calling it oneself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from autohands.cli import options, work
from autohands.cli.fail import DONE, FAILED
from autohands.cli.lines import read_all
from autohands.cli.listing import show_items, show_json, show_one
from autohands.core.foreign import contained
from autohands.protocols.errors import BadRequest
from autohands.protocols.tool import Tool, ToolResult
from autohands.sdk.clip import escape

_MOST_BYTES = 40_000_000


@click.group("tool")
def command() -> None:
    """Tools: list, show, call."""


@command.command("list")
@options.everywhere
def show_list(*, json: bool, config: Path | None) -> int:
    """Every tool and the extension that brings it."""
    return work.run(_list(json=json, config=config))


async def _list(*, json: bool, config: Path | None) -> int:
    async with work.looking(config=config, serve=True) as hands:
        items = [
            {
                "name": name,
                "extension": hands.tools.owner(name),
                "effect": effect_of(tool),
                "description": tool.schema.description,
                "summary": tool.schema.description.partition("\n")[0],
            }
            for name, tool in sorted(hands.tools.items())
        ]
    show_items(items, ("name", "effect", "extension", "summary"), json=json, none="no tools: autohands extension list")
    return DONE


@command.command("show")
@click.argument("name")
@options.everywhere
def show(name: str, *, json: bool, config: Path | None) -> int:
    """A tool as the model sees it."""
    return work.run(_show(name, json=json, config=config))


async def _show(name: str, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config, serve=True) as hands:
        tool = hands.tools.get(name)
        shown = {
            "name": tool.schema.name,
            "extension": hands.tools.owner(name),
            "version": tool.version,
            "effect": effect_of(tool),
            "timeout_seconds": tool.timeout_seconds,
            "description": tool.schema.description,
            "parameters": tool.schema.parameters,
        }
    if not json:
        shown["parameters"] = msgspec.json.format(msgspec.json.encode(shown["parameters"]), indent=2).decode()
    show_one(shown, json=json)
    return DONE


def effect_of(tool: Tool) -> str:
    """What a call does to the world; `varies` where its arguments decide."""
    found: list[str] = []
    with contained(lambda error: None):
        found.append(tool.effect({}))
    return found[0] if found else "varies"


@command.command("call")
@click.argument("name")
@click.argument("arguments", default="{}")
@click.option("--workspace", type=options.DIRECTORY, metavar="DIR", help="Where to work; default: here.")
@click.option("--session", metavar="ID", default="direct", help="Whose terminals and background processes it sees.")
@options.everywhere
def call(name: str, arguments: str, *, json: bool, **given: Any) -> int:
    """Call a tool. ARGUMENTS is a JSON object, - reads it from standard input; calling it yourself is the approval."""
    text = read_all(_MOST_BYTES) if arguments == "-" else arguments
    return work.run(_call(name, read_arguments(text), json=json, **given))


async def _call(
    name: str,
    arguments: dict[str, Any],
    *,
    json: bool,
    config: Path | None,
    workspace: Path | None,
    session: str,
) -> int:
    async with work.opened(config=config, workspace=workspace) as hands:
        result = await hands.call_tool(name, arguments, session=session)
    show_result(result, json=json)
    return FAILED if result.failed else DONE


def read_arguments(text: str) -> dict[str, Any]:
    """The arguments of a call from their JSON. Raises `BadRequest`, which says what is wrong with it."""
    try:
        return msgspec.json.decode(text.encode(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise BadRequest(
            f"the arguments are not a JSON object: {error}", hint='for example \'{"path": "README.md"}\''
        ) from None


def show_result(result: ToolResult, *, json: bool) -> None:
    """What a tool answered: its text, or the whole of it as JSON."""
    if json:
        shown = {"text": result.text, "data": result.data, "images": result.images, "failed": result.failed}
        show_json(msgspec.to_builtins(shown))
        return
    import sys

    click.echo(escape(result.text) if sys.stdout.isatty() else result.text)
    for image in result.images:
        click.echo(f"[image: {image.mime}, {image.size:,} bytes, {image.sha256}]", err=True)
