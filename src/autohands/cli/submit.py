"""`autohands task submit`: work for whoever serves the queue."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct
from msgspec.structs import fields, replace

from autohands.cli import complete, options, work
from autohands.cli.brief import summary
from autohands.cli.console import Console, check_workspace, whole_session
from autohands.cli.lines import read_all
from autohands.cli.listing import show_json
from autohands.cli.options import Given
from autohands.protocols.errors import BadRequest, TooBusy
from autohands.protocols.loop import BACKGROUND, DEFAULT
from autohands.protocols.task import PRIORITIES, Task, TaskRecord
from autohands.sdk.identity import now_ms

if TYPE_CHECKING:
    from autohands.hands import Hands

_MOST_BYTES = 40_000_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Wanted(Struct, frozen=True, kw_only=True):
    """What was given beyond what every request may be given."""

    follow: bool = False
    background: bool = False
    priority: str = "normal"
    not_before: int | None = None
    deadline: int | None = None
    after: tuple[str, ...] = ()
    key: str | None = None
    source: str = "cli"
    payload: dict[str, Any] | None = None
    reply_to: str | None = None


def _time(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """`2026-01-31T08:00` (local, or with an offset) or `90m` from now, as UTC ms."""
    if value is None:
        return None
    if found := re.fullmatch(r"(\d{1,6})([smhd])", value):
        return now_ms() + int(found[1]) * _UNITS[found[2]] * 1000
    try:
        return round(datetime.fromisoformat(value).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(f"{value!r} is no time: write 2026-01-31T08:00, or 90m from now", ctx, param) from None


def _payload(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    return None if value is None else json_object(value, "the payload")


def json_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object. Raises `BadRequest`, beginning with `what`."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(
            f"{what} is not a JSON object: {error}", hint="""write an object: '{"name": "value"}'"""
        ) from None
    if not isinstance(value, dict):
        raise BadRequest(f"{what} is not a JSON object", hint="""write an object: '{"name": "value"}'""")
    return value


@click.command("submit")
@click.argument("prompt")
@click.option("--follow", is_flag=True, help="Show what happens, to the end; Ctrl-C leaves it alone.")
@click.option("--background", is_flag=True, help="Where nobody waits for it: it runs when nothing else does.")
@click.option("--priority", default="normal", metavar="P", help=f"{', '.join(PRIORITIES)}, or -60 to 60.")
@click.option("--not-before", metavar="TIME", callback=_time, help="When it may begin: 2026-01-31T08:00, or 90m.")
@click.option("--deadline", metavar="TIME", callback=_time, help="When it has to have ended.")
@click.option(
    "--after",
    metavar="ID",
    multiple=True,
    shell_complete=complete.tasks,
    help="It begins when that task has ended; may be repeated.",
)
@click.option("--key", metavar="KEY", help="Once: the same key again answers with the first task.")
@click.option("--source", default="cli", metavar="NAME", help="Where it comes from, as policy sees it.")
@click.option("--payload", metavar="JSON", callback=_payload, help="An object that stands behind the prompt.")
@options.reply_to
@options.work
@options.everywhere
def submit(prompt: str, **given: Any) -> int:
    """Hand work over to `autohands serve`, and print the task's id. PROMPT is what to do; - reads standard input.

    It is durable when the id is printed, whether or not anybody serves now.
    """
    text = read_all(_MOST_BYTES) if prompt == "-" else prompt
    names = {field.name for field in fields(Wanted)}
    wanted = Wanted(**{name: value for name, value in given.items() if name in names})
    common = Given(**{name: value for name, value in given.items() if name not in names})
    return work.run(_submit(text, common, wanted))


async def _submit(prompt: str, given: Given, wanted: Wanted) -> int:
    async with work.opened(config=given.config, workspace=given.workspace) as hands:
        check_workspace(hands, given)
        given = await whole_session(hands, given)
        try:
            record = await hands.tasks.submit(await _task(hands, prompt, given, wanted))
        except TooBusy as error:
            hint = f"try again in {error.retry_after_seconds:g} s, or raise [queues.{_queue(wanted)}] depth"
            raise TooBusy(error.text, retry_after_seconds=error.retry_after_seconds, hint=hint) from None
        if wanted.follow:
            return await Console(hands, json=given.json).watch(record)
    _tell(record, json=given.json)
    return 0


def _queue(wanted: Wanted) -> str:
    return BACKGROUND if wanted.background else DEFAULT


async def _task(hands: Hands, prompt: str, given: Given, wanted: Wanted) -> Task:
    """The task that was asked for; it works in its session's workspace, else here.

    Raises:
        NotFound: There is no such agent or provider, or no task that it is to come after. BadRequest: The model names
            no provider.
    """
    if given.model is not None:
        provider, slash, _ = given.model.partition("/")
        if not slash:
            raise BadRequest(f"the model {given.model!r} names no provider", hint="write provider/model")
        hands.providers.get(provider)
    agent = given.agent or hands.config.agent
    hands.agents.get(agent)
    task = given.task(prompt, agent, "workspace" if given.yes else "ask")
    priority = int(wanted.priority) if re.fullmatch(r"-?\d{1,3}", wanted.priority) else wanted.priority
    return replace(
        task,
        workspace=str(hands.workspace) if given.workspace else None,
        queue=_queue(wanted),
        priority=priority,
        not_before=wanted.not_before,
        deadline=wanted.deadline,
        after=tuple([(await hands.storage.task(other)).id for other in wanted.after]),
        idempotency_key=wanted.key,
        source=wanted.source,
        payload=wanted.payload,
        reply_address=wanted.reply_to,
    )


def _tell(record: TaskRecord, *, json: bool) -> None:
    if json:
        show_json(summary(record))
    else:
        click.echo(record.id)
