"""Writes the reference from the program itself: `python docs/reference/generate.py`; `--check` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
from msgspec.structs import FieldInfo, fields

from autohands.cli.main import autohands
from autohands.config.example import example
from autohands.protocols.events import Durable, Event, Fleeting, Reason

HERE = Path(__file__).parent
NOTE = "<!-- written by generate.py; change the program, not this page -->\n"
CLI = """\
# Commands

{note}
`-h` after any of them says the same. What is said of [exit status and output](../operate.md#exit-status) holds for all.
"""
EVENTS = """\
# Events

{note}
One JSON object each: the lines of `run --json`, what `hands.follow` gives, what is kept in the journal. All begin with
`type`, `task`, `session` and `at` (UTC milliseconds). *Durable* ones are kept and carry `seq`: per task, from 1, without
gaps. *Deltas* live in memory only and carry `after` (the last `seq` before them), `attempt` and `offset` (characters of
the same text before this piece); the finished reply replaces them. Ignore types and fields that you do not know.

`run.finished` belongs to the task: it comes once, in the transaction that ends it. Its `reason` is one of
{reasons}.
"""
CONFIG = """\
# Configuration

{note}
Every key of `~/.autohands/config.toml` with its default, as in `config.example.toml`. `[server]`, `[schedules]`, `[skills]`
and `[retention]` are read and checked; what they configure is still to come.

```toml
{example}```
"""


def commands(command: click.Command, path: str) -> Iterator[str]:
    """A section for each command beneath `command`, with what its `--help` says."""
    context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (found := command.get_command(context, name)) is not None:
                yield from commands(found, f"{path} {name}")
    else:
        yield f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"


def event(kind: type[Durable] | type[Fleeting]) -> str:
    """A section for one event: its type, what it means, its own fields."""
    envelope = Durable if issubclass(kind, Durable) else Fleeting
    inherited = {each.name for each in fields(envelope)}
    rows = [row(each) for each in fields(kind) if each.name not in inherited]
    nature = "durable" if envelope is Durable else "delta"
    table = "| field | |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    return f"## {kind.__struct_config__.tag}\n\n*{nature}.* {(kind.__doc__ or '').strip()}\n\n{table}"


def row(each: FieldInfo) -> str:
    """A field and its JSON type."""
    return f"| `{each.encode_name}` | {described(msgspec.json.schema(each.type))} |"


def described(schema: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(described(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {described(schema.get('items') or {})}"
    return str(schema.get("type", "any"))


def pages() -> dict[str, str]:
    """Each page and its text."""
    reasons = ", ".join(f"`{reason}`" for reason in get_args(Reason))
    return {
        "cli.md": "\n".join([CLI.format(note=NOTE), *commands(autohands, "autohands")]),
        "events.md": "\n".join([EVENTS.format(note=NOTE, reasons=reasons), *map(event, get_args(Event))]),
        "config.md": CONFIG.format(note=NOTE, example=example()),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` name those that are no longer true; the exit status."""
    stale = [name for name, text in pages().items() if not (HERE / name).exists() or (HERE / name).read_text() != text]
    if "--check" in arguments:
        print(*(f"{name} is stale: run docs/reference/generate.py" for name in stale), sep="\n")
        return 1 if stale else 0
    for name in stale:
        (HERE / name).write_text(pages()[name])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
