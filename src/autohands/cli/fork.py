"""`autohands task fork` and `task replay`: go on from a recorded turn, or do it again without doing anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from autohands.cli import complete, options, work
from autohands.cli.console import Console, check_model
from autohands.cli.listing import show_json, show_one
from autohands.cli.render import describe
from autohands.protocols.changes import Fork
from autohands.protocols.messages import ToolCall
from autohands.protocols.task import OWN_QUEUES, TaskRecord
from autohands.sdk.identity import new_id

if TYPE_CHECKING:
    from autohands.hands import Hands


@click.command("fork")
@click.argument("task", shell_complete=complete.tasks)
@click.option("--turn", type=click.IntRange(min=1), metavar="N", help="The first turn that is taken anew.")
@click.option("--model", metavar="PROVIDER/MODEL", help="Another model from there on.")
@click.option("--prompt", metavar="TEXT", help="What is said before that turn.")
@click.option("--yes", is_flag=True, help="Allow effects inside the workspace without asking.")
@options.everywhere
def fork(task: str, *, yes: bool, json: bool, config: Path | None, **wanted: Any) -> int:
    """Go on from a turn of a task in a new session, and follow it to its end. The task itself stays as it is.

    What its earlier turns did is not done again. Without --turn the last turn is taken anew, or follows with --prompt.
    """
    return work.run(_fork(task, yes=yes, json=json, config=config, **wanted))


async def _fork(task: str, *, yes: bool, json: bool, config: Path | None, **wanted: Any) -> int:
    async with work.opened(config=config) as hands:
        console = Console(hands, json=json, yes=yes)
        record = await _made(hands, task, **wanted)
        return await console.resume(record)


async def _made(hands: Hands, task: str, **wanted: Any) -> TaskRecord:
    """The new task, in a queue that is nobody's yet. Raises `NotFound`, `BadRequest`."""
    from autohands.runloop.queue import check_text

    if wanted.get("prompt") is not None:
        check_text(wanted["prompt"], "the prompt is")
    old = await hands.storage.task(task)
    check_model(hands, wanted.get("model") or old.task.model, old.task.agent or hands.config.agent)
    queue = new_id(OWN_QUEUES.rstrip("_"))
    record: TaskRecord = (await hands.storage.commit(Fork(task=old.id, queue=queue, **wanted)))[0]
    return record


@click.command("replay")
@click.argument("task", shell_complete=complete.tasks)
@click.option("--model", metavar="PROVIDER/MODEL", help="Another model than the task's.")
@options.everywhere
def replay(task: str, *, model: str | None, json: bool, config: Path | None) -> int:
    """Give a model a task again, with the recorded results of its calls, and compare what comes of it.

    Nothing is carried out: calls get what the same calls returned before, others may only look.
    """
    return work.run(_replay(task, model=model, json=json, config=config))


async def _replay(task: str, *, model: str | None, json: bool, config: Path | None) -> int:
    async with work.opened(config=config) as hands:
        console = Console(hands, json=json, shown=not json)
        record = await _made(hands, task, replay=True, model=model)
        status = await console.resume(record)
        old, new = [await Outcome.of(hands, each) for each in (record.forked_from or "", record.id)]
    told = compared(old, new)
    if json:
        show_json(told)
    else:
        click.echo(err=True)
        words = {True: "the same", False: "another"}
        calls = f"{words[told['calls']['equal']]} ({len(old.calls)} then, {len(new.calls)} now)"
        differs = told["calls"]["first_difference"] or {}
        shown = {"replay of": old.task, "answer": words[told["text"]["equal"]], "calls": calls}
        show_one({**shown, **{f"first, {when}": call for when, call in differs.items()}}, json=False)
    return status


class Outcome(Struct, frozen=True):
    """What became of a task: its answer, and its calls in their order."""

    task: str
    state: str
    text: str
    calls: list[ToolCall]

    @staticmethod
    async def of(hands: Hands, task: str) -> Outcome:
        """That of a stored task."""
        from autohands.runtime.history import read_turns

        record = await hands.storage.task(task)
        turns = read_turns(await hands.storage.steps(task))[1]
        calls = [call for turn in turns for call in turn.reply.tool_calls]
        return Outcome(record.id, record.state, record.text or "", calls)


def compared(old: Outcome, new: Outcome) -> dict[str, Any]:
    """Whether answer and calls are the same, and the first calls that are not."""
    pairs = [[(call.name, call.arguments) for call in each.calls] for each in (old, new)]
    at = next((at for at, pair in enumerate(zip(*pairs, strict=False)) if pair[0] != pair[1]), min(map(len, pairs)))
    first = {
        when: describe(each.calls[at]) if at < len(each.calls) else None for when, each in (("then", old), ("now", new))
    }
    text = {"equal": old.text == new.text, "then": old.text, "now": new.text}
    equal = pairs[0] == pairs[1]
    calls = {"equal": equal, "then": len(old.calls), "now": len(new.calls)}
    return {
        "task": new.task,
        "replays": old.task,
        "state": new.state,
        "equal": equal and text["equal"],
        "text": text,
        "calls": {**calls, "first_difference": None if equal else first},
    }
