"""Writes the reference from the program itself: `python docs/reference/generate.py`; `--check` only compares."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from textwrap import fill
from typing import Any, get_args

import click
import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from autohands.cli.main import autohands
from autohands.protocols.events import Durable, Event, Fleeting, Reason
from autohands.protocols.messages import BlobRef, Image, Message, Text, Thinking, ToolCall, ToolReturn, Usage
from autohands.protocols.tool import ToolResult

HERE = Path(__file__).parent
NOTE = "<!-- written by generate.py; change the program, not this page -->\n"
EVERYWHERE = {"json", "config", "debug", "help"}
PARTS = (ToolCall, ToolResult, Usage, Message, Text, Image, Thinking, ToolReturn, BlobRef)
CLI = """\
# Commands

{note}
Every command takes `--json` (machine-readable output), `--config FILE` (another configuration file than the home's),
`--debug` (tracebacks) and `-h`. [Exit status and errors](../operate.md#exit-status) are the same for all.
"""
EVENTS = """\
# Events

{note}
One JSON object each: the lines of `run --json`, what `hands.follow` gives, what is kept in the journal. All begin with
`type`, `task`, `session` and `at` (UTC milliseconds).

*Durable* ones are kept and carry `seq`: per task, from 1, without gaps. *Deltas* live in memory only and carry `after`
(the last `seq` before them), `attempt`, and `offset` (how many characters of the same text came before this piece); the
finished reply replaces them. Fields that are empty may be left out; ignore types and fields that you do not know.

`run.finished` belongs to the task: it comes once, in the transaction that ends it. Its `reason` is one of
{reasons}.
"""


def commands(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    """A section for each command beneath `command`: usage, what it does, its options."""
    context = command.context_class(command, info_name=name, parent=parent, **command.context_settings)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            if (found := command.get_command(context, each)) is not None:
                yield from commands(found, context, each)
        return
    options = [each for each in command.params if isinstance(each, click.Option) and each.name not in EVERYWHERE]
    records = filter(None, (each.get_help_record(context) for each in options))
    rows = ["| `{}` | {} |".format(*(each.replace("|", "\\|") for each in record)) for record in records]
    table = ["| option | |\n|---|---|\n" + "\n".join(rows) + "\n"] if rows else []
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    yield "\n".join([f"## {context.command_path}\n", f"```text\n{usage}\n```\n", f"{text}\n", *table])


def event(kind: type[Durable] | type[Fleeting]) -> str:
    """A section for one event: its type, what it means, its own fields."""
    envelope = Durable if issubclass(kind, Durable) else Fleeting
    nature = "durable" if envelope is Durable else "delta"
    return section(kind, str(kind.__struct_config__.tag), f"*{nature}.* ", {each.name for each in fields(envelope)})


def section(kind: type[Struct], title: str, before: str = "", without: Collection[str] = ()) -> str:
    """A struct: what it is, and its fields."""
    rows = [row(each) for each in fields(kind) if each.name not in without]
    table = ["| field | |\n|---|---|\n" + "\n".join(rows) + "\n"] if rows else []
    return "\n".join([f"## {title}\n", f"{before}{inspect.cleandoc(kind.__doc__ or '')}\n", *table])


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
    reasons = fill(", ".join(f"`{reason}`" for reason in get_args(Reason)), 120)
    parts = (section(kind, kind.__name__) for kind in PARTS)
    return {
        "cli.md": "\n".join([CLI.format(note=NOTE), *commands(autohands, None, "autohands")]),
        "events.md": "\n".join([EVENTS.format(note=NOTE, reasons=reasons), *map(event, get_args(Event)), *parts]),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` name those that are no longer true; the exit status."""
    now = pages()
    stale = [name for name in now if not (HERE / name).exists() or (HERE / name).read_text() != now[name]]
    if "--check" in arguments:
        print(*(f"{name} is stale: run docs/reference/generate.py" for name in stale), sep="\n")
        return 1 if stale else 0
    for name in stale:
        (HERE / name).write_text(now[name])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
