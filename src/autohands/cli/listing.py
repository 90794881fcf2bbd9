"""Lists and single things on standard output: JSON, a table at a terminal, plain columns elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import click
import msgspec

from autohands.cli.fail import colourful
from autohands.sdk.clip import escape, json_safe

Item: TypeAlias = Mapping[str, Any]
_NARROW = 80


def show_items(items: Sequence[Item], columns: Sequence[str], *, json: bool, none: str) -> None:
    """A list: all of it as JSON, else its `columns`; `none` is said where it is empty."""
    if json:
        show_json({"items": items})
    elif not items:
        click.echo(none, err=True)
    elif not sys.stdout.isatty():
        _show_columns(items, columns)
    elif shutil.get_terminal_size().columns < _NARROW:
        for item in items:
            show_one({name: item.get(name) for name in columns}, json=False)
            click.echo()
    else:
        _show_table(items, columns)


def _show_columns(items: Sequence[Item], columns: Sequence[str]) -> None:
    rows = [list(columns), *([cell(item.get(name)) for name in columns] for item in items)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(columns))]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def show_one(item: Item, *, json: bool) -> None:
    """One thing: the object as JSON, else a line for each of its fields."""
    if json:
        show_json(item)
        return
    width = max(map(len, item), default=0)
    for name, value in item.items():
        if value not in (None, "", [], (), {}):
            text = escape(value) if isinstance(value, str) else cell(value)
            click.echo(f"{name.ljust(width)}  " + text.replace("\n", f"\n{' ' * (width + 2)}"))


def show_json(value: object) -> None:
    """One JSON document."""
    click.echo(msgspec.json.format(msgspec.json.encode(_clean(value)), indent=2))


def when(milliseconds: int | None) -> str | None:
    """A time in ISO 8601 with its offset, from UTC milliseconds."""
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().isoformat(timespec="milliseconds")


def minute(milliseconds: int | None) -> str | None:
    """A time as a table shows it: local, to the minute."""
    return f"{datetime.fromtimestamp(milliseconds / 1000):%Y-%m-%d %H:%M}" if milliseconds else None


def cell(value: object) -> str:
    """A value on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    if isinstance(value, dict):
        return msgspec.json.encode(_clean(value)).decode()
    return escape(" ".join(str(value).split()))


def _show_table(items: Sequence[Item], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colour = colourful(sys.stdout)
    table = Table(box=None, pad_edge=False, header_style="bold" if colour else "")
    for at, name in enumerate(columns):
        table.add_column(name, overflow="fold" if at == 0 else "ellipsis", no_wrap=at not in (0, len(columns) - 1))
    for item in items:
        table.add_row(*(Text(cell(item.get(name))) for name in columns))
    Console(highlight=False, no_color=not colour).print(table)


def _clean(value: Any) -> Any:
    """The same without lone surrogates, which no JSON takes."""
    if isinstance(value, str):
        return json_safe(value)
    if isinstance(value, Mapping):
        return {str(_clean(key)): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value
