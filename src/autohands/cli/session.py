"""`autohands session`: conversations."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, BinaryIO

import click

from autohands.cli import complete, options, work
from autohands.cli.brief import summary
from autohands.cli.listing import minute, show_items, show_json, show_one, when
from autohands.cli.transcript import Part, explained, json_lines, markdown, parts, told
from autohands.protocols.changes import ForgetSession, RenameSession
from autohands.protocols.errors import BadRequest, Conflict
from autohands.protocols.records import SessionRecord

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MOST = 100_000


@click.group("session")
def command() -> None:
    """Conversations: list, show, export, rename, delete, search. They are named by id or name."""


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@options.everywhere
def show_list(*, limit: int, json: bool, config: Path | None) -> int:
    """Conversations, the last used first."""
    return work.run(_list("", limit, json=json, config=config))


@command.command("search")
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@options.everywhere
def search(text: str, *, limit: int, json: bool, config: Path | None) -> int:
    """Conversations in whose title or words TEXT is found."""
    return work.run(_list(text, limit, json=json, config=config))


async def _list(text: str, limit: int, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        records = await hands.storage.sessions(search=text, limit=limit)
    show_items(
        [_brief(record) if json else _line(record) for record in records],
        ("session", "tasks", "updated", "title"),
        json=json,
        none="nothing found" if text else "no sessions yet",
    )
    return 0


@command.command("show")
@click.argument("session", shell_complete=complete.sessions)
@options.everywhere
def show(session: str, *, json: bool, config: Path | None) -> int:
    """A conversation with what was asked and answered, where it was shortened, and why a cache was missed."""
    return work.run(_show(session, json=json, config=config))


async def _show(session: str, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        record = await hands.storage.session(session)
        tasks = [
            {**summary(task), "text": task.text, "error": task.error}
            for task in reversed(await hands.storage.tasks(session=record.id, limit=1000))
        ]
        context = await explained(hands, [task["id"] for task in tasks])
    if json:
        show_one({**_brief(record), "tasks": tasks, "context": context}, json=True)
        return 0
    show_one(_brief(record), json=False)
    for task in tasks:
        click.echo()
        show_one(
            {task["state"]: task["id"], "you": task["prompt"], "answer": task["text"] or task["error"]}, json=False
        )
        for line in [told(event) for event in context if event["task"] == task["id"]]:
            click.echo(line)
    return 0


@command.command("export")
@click.argument("session")
@click.option("--output", type=click.File("wb"), default="-", help="A file to write to.  [default: standard output]")
@options.everywhere
def export(session: str, output: BinaryIO, *, json: bool, config: Path | None) -> int:
    """A conversation whole, as Markdown; with --json as JSON lines with all that is recorded of it."""
    return work.run(_export(session, output, json=json, config=config))


async def _export(session: str, output: BinaryIO, *, json: bool, config: Path | None) -> int:
    async with work.looking(config=config) as hands:
        record = await hands.storage.session(session)

        def write(part: Part | None) -> None:
            lines = json_lines(record, part) if json else (text.encode() + b"\n" for text in markdown(record, part))
            for line in lines:
                output.write(line + b"\n")

        write(None)
        async for part in parts(hands, record.id):
            write(part)
    return 0


@command.command("rename")
@click.argument("session", shell_complete=complete.sessions)
@click.argument("title")
@options.everywhere
def rename(session: str, title: str, *, json: bool, config: Path | None) -> int:
    """Give a conversation another title."""
    return work.run(_rename(session, title, json=json, config=config))


async def _rename(session: str, title: str, *, json: bool, config: Path | None) -> int:
    async with work.opened(config=config, serve=False) as hands:
        record = await hands.storage.session(session)
        await hands.storage.commit(RenameSession(session=record.id, title=title))
        record = await hands.storage.session(record.id)
    show_one(_brief(record), json=json)
    return 0


@command.command("delete")
@click.argument("sessions", nargs=-1, metavar="[SESSION]...", shell_complete=complete.sessions)
@click.option("--older-than", metavar="AGE", help="All that were not used for 90d, 12h, 4w …")
@options.everywhere
def delete(sessions: tuple[str, ...], *, older_than: str | None, json: bool, config: Path | None) -> int:
    """Delete conversations with all that is recorded of them; --older-than keeps those with unfinished tasks."""
    if bool(sessions) == bool(older_than):
        raise click.UsageError("name sessions, or pass --older-than AGE")
    return work.run(_delete(sessions, older_than, json=json, config=config))


async def _delete(names: tuple[str, ...], older_than: str | None, *, json: bool, config: Path | None) -> int:
    before = time.time() - seconds_of(older_than) if older_than else None
    async with work.opened(config=config, serve=False) as hands:
        if before is None:
            records = [await hands.storage.session(name) for name in names]
        else:
            everything = await hands.storage.sessions(limit=_MOST)
            records = [record for record in everything if record.updated < before * 1000]
        kept: dict[str, str] = {}
        for record in records:
            try:
                await hands.storage.commit(ForgetSession(session=record.id))
            except Conflict as error:
                if before is None:
                    raise
                kept[record.id] = error.text
    gone = [record for record in records if record.id not in kept]
    if json:
        show_json({"items": [_brief(record) for record in gone], **({"kept": kept} if kept else {})})
        return 0
    show_items([_line(record) for record in gone], ("session", "title"), json=False, none="nothing to delete")
    for record in records:
        if record.id in kept:
            click.echo(f"kept {record.name or record.id}: {kept[record.id]}", err=True)
    return 0


def seconds_of(age: str) -> int:
    """An age like `90d` in seconds. Raises `BadRequest`."""
    found = re.fullmatch(r"(\d{1,6})([mhdw])", age)
    if not found:
        raise BadRequest(f"{age!r} is no age", hint="write 30m, 12h, 90d or 4w")
    return int(found[1]) * _UNITS[found[2]]


def _brief(record: SessionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "title": record.title,
        "tasks": record.tasks,
        "agent": record.agent,
        "workspace": record.workspace,
        "created": when(record.created),
        "updated": when(record.updated),
    }


def _line(record: SessionRecord) -> dict[str, Any]:
    """A session in a table: by its name, if somebody gave it one."""
    return {**_brief(record), "session": record.name or record.id, "updated": minute(record.updated)}
