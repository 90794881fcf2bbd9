"""`autohands demo`: the main job end to end on a recorded model, with real tools and real files."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec

import autohands
from autohands.cli import options, work
from autohands.cli.console import Console
from autohands.protocols.task import Task

RECORDING = Path(autohands.__file__).parent / "extensions" / "provider_replay" / "recordings" / "demo"
MODEL = "replay/demo"


class Head(msgspec.Struct):
    """What the first line of a recording tells."""

    prompt: str


@click.command("demo")
@options.everywhere
def command(*, json: bool, **_: Any) -> int:
    """Watch a whole run: the model's words are a replay, the tools and the files are real. No key, no network."""
    return work.run(_demo(json=json))


async def _demo(*, json: bool) -> int:
    from autohands import app

    place = Path(tempfile.mkdtemp(prefix="autohands-demo-"))
    home, workspace, prompt = place / "home", place / "workspace", read_prompt()
    shutil.copytree(RECORDING / "workspace", workspace)
    before = contents(workspace)
    _say(
        f"The model of this demo is a replay ({MODEL}): what it says was recorded. The tools are real.",
        *(f"  home       {home}", f"  workspace  {workspace}", f"› {prompt}"),
        json=json,
    )
    async with app.open(home=home, workspace=workspace, config={"model": MODEL}) as hands:
        console = Console(hands, json=json, yes=True, hints=False)
        status = await console.run(Task(prompt=prompt, consent=console.consent, source="cli"))
    _say(
        "What the tools did:",
        *changes(before, contents(workspace)),
        f"Look at it in {workspace}",
        'That was a replay, on real files. With a key of your own: autohands run "…"',
        json=json,
    )
    return status


def _say(*lines: str, json: bool) -> None:
    for line in lines:
        click.echo(line, err=json)


def read_prompt() -> str:
    """What the recorded model was asked."""
    with (RECORDING / "recording.jsonl").open("rb") as lines:
        return msgspec.json.decode(lines.readline(), type=Head).prompt


def contents(root: Path) -> dict[str, str]:
    """The files beneath a directory, each with the hash of its content."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What became of files, a line each."""
    made = [f"  made     {path}" for path in after if path not in before]
    changed = [f"  changed  {path}" for path in after if path in before and after[path] != before[path]]
    deleted = [f"  deleted  {path}" for path in before if path not in after]
    return [*made, *changed, *deleted] or ["  nothing"]
