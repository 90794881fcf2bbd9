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
from autohands.cli.paper import columns_of, fitting, paint
from autohands.sdk.clip import escape, json_safe

Item: TypeAlias = Mapping[str, Any]
_NARROW = 80
_LEAST = 6


def show_items(items: Sequence[Item], columns: Sequence[str], *, json: bool, none: str) -> None:
    """A list: all of it as JSON, else its `columns`; `none` is said where it is empty."""
    if json:
        show_json({"items": items})
    elif not items:
        click.echo(none, err=True)
    else:
        _show_rows(items, columns)


def _show_rows(items: Sequence[Item], columns: Sequence[str]) -> None:
    """A table as wide as it needs to be, at a terminal as wide as that; on a narrow one a block for each item."""
    rows = [list(columns), *([cell(item.get(name)) for name in columns] for item in items)]
    widths = [max(columns_of(row[at]) for row in rows) for at in range(len(columns))]
    wide = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    fitted = fit_widths(widths, wide) if wide >= _NARROW else None
    if fitted:
        _show_table(rows, fitted)
        return
    for item in items:
        show_one({name: item.get(name) for name in columns}, json=False)
        click.echo()


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


def _show_table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    colour = colourful(sys.stdout)
    for number, row in enumerate(rows):
        cells = [fitting(text, width) for text, width in zip(row, widths, strict=True)]
        line = "  ".join(text + " " * (width - columns_of(text)) for text, width in zip(cells, widths, strict=True))
        click.echo(paint(line.rstrip(), "bold", colour=colour) if number == 0 else line.rstrip())


def fit_widths(widths: Sequence[int], columns: int) -> list[int] | None:
    """The widths of a table's columns on a terminal: the first, which names things, stays whole, the widest of the
    others shrink; None where that is not enough."""
    fitted = list(widths)
    while sum(fitted) + 2 * (len(fitted) - 1) > columns:
        widest = max(range(1, len(fitted)), key=lambda at: fitted[at], default=0)
        if widest == 0 or fitted[widest] <= _LEAST:
            return None
        fitted[widest] -= 1
    return fitted


def _clean(value: Any) -> Any:
    """The same without lone surrogates, which no JSON takes."""
    if isinstance(value, str):
        return json_safe(value)
    if isinstance(value, Mapping):
        return {str(_clean(key)): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value
