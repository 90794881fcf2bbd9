"""A person at a terminal: what sub-agents ask is asked there, and what was spent is drawn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from autohands.testing.script import ScriptedCall as Call
from autohands.testing.script import Turn, call, calls, say
from autohands.testing.vendors import FakeVendors, Seen
from cli.command import environment
from cli.terminal import Terminal, autohands

pytestmark = pytest.mark.slow


def conversation(seen: Seen) -> Turn:
    """The parent has two parts written down; each part writes a file."""
    said = json.dumps(seen.body)
    if "Coordinate" in said:
        parts = (Call("agent_spawn", {"task": f"Part {name}"}) for name in "AB")
        return say("Both are written.") if seen.turn else calls(*parts)
    name = "a" if "Part A" in said else "b"
    return say(f"{name} is done") if seen.turn else call("write_file", path=f"{name}.txt", content=name)


async def play(story: Callable[[Terminal], None], *arguments: str, workspace: Path) -> None:
    """Play the person's part in a thread beside the fake service."""

    def tell(fake: FakeVendors) -> None:
        with Terminal(autohands(*arguments), environment(fake), workspace) as terminal:
            story(terminal)

    async with FakeVendors(conversation) as fake:
        await asyncio.to_thread(tell, fake)
        assert fake.problems == []


async def test_what_sub_agents_ask_is_asked_here_one_after_the_other(home: Path, workspace: Path) -> None:
    def story(person: Terminal) -> None:
        for _ in range(2):
            assert "agent_spawn" in person.expect("Allow it?")
            person.send("y\n")
        for answer in ("y", "y"):
            assert "write_file" in person.expect("Allow it?")
            person.send(f"{answer}\n")
        person.expect("Both are written.")
        assert person.wait() == 0

    await play(story, "run", "Coordinate", "--model", "openai/fake", workspace=workspace)
    assert sorted(path.name for path in workspace.iterdir()) == ["a.txt", "b.txt"]


async def test_what_a_sub_agent_had_asked_is_asked_when_its_parent_is_taken_up(home: Path, workspace: Path) -> None:
    task: list[str] = []

    def leave(person: Terminal) -> None:
        for _ in range(2):
            person.expect("Allow it?")
            person.send("y\n")
        assert "write_file" in person.expect("Allow it?")
        person.process.kill()

    def take_up(person: Terminal) -> None:
        for _ in range(2):
            assert "write_file" in person.expect("Allow it?")
            person.send("y\n")
        person.expect("Both are written.")
        assert person.wait() == 0

    def find(person: Terminal) -> None:
        person.wait()
        items = json.loads(person.text)["items"]
        task.append(next(item["id"] for item in items if item["prompt"].startswith("Coordinate")))

    await play(leave, "run", "Coordinate", "--model", "openai/fake", workspace=workspace)
    await play(find, "task", "list", "--json", workspace=workspace)
    await play(take_up, "task", "resume", task[0], workspace=workspace)
    assert sorted(path.name for path in workspace.iterdir()) == ["a.txt", "b.txt"]


async def test_a_terminal_shows_a_plot(home: Path, workspace: Path) -> None:
    def nothing(person: Terminal) -> None:
        person.expect("Both are written.")
        assert person.wait() == 0

    def look(person: Terminal) -> None:
        assert "█" in person.expect("USD spent")
        assert person.wait() == 0

    await play(nothing, "run", "Coordinate", "--yes", "--model", "openai/fake", workspace=workspace)
    await play(look, "cost", workspace=workspace)
