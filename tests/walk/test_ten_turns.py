"""Ten tool turns through the command line, against fake services that refuse any request the vendor would refuse."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from autohands.testing.script import ScriptedCall, Turn, call, calls

from .processes import autohands, environment, lines, serving


def ten_turns() -> list[Turn]:
    """Five files are written, and each is counted and read back by two calls of one reply."""
    turns: list[Turn] = []
    for number in range(5):
        path = f"n{number}.txt"
        turns.append(call("write_file", says=f"Step {number}.", path=path, content=f"number {number}\n"))
        counted = ScriptedCall("exec", {"command": f"wc -l {path}"})
        turns.append(calls(counted, ScriptedCall("read_file", {"path": path})))
    return [*turns, Turn(text="Five files written and checked.")]


@pytest.mark.parametrize(("model", "api"), [("openai/fake", "chat"), ("anthropic/fake", "messages")])
def test_ten_tool_turns_with_every_request_checked(
    model: str, api: str, home: Path, workspace: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, ten_turns()) as service:
        command = ("run", "Write five files and check them", "--model", model, "--yes", "--json")
        result = autohands(*command, env=environment(home, service), cwd=workspace)
        asked = service.requests()
    events = lines(result.stdout)
    assert (result.returncode, events[-1]["type"], events[-1]["reason"]) == (0, "run.finished", "done"), result.stderr
    assert [event["seq"] for event in events if "seq" in event] == list(range(1, events[-1]["seq"] + 1))
    assert [event["status"] for event in events if event["type"] == "tool.finished"] == ["done"] * 15
    assert [request["api"] for request in asked] == [api] * 11
    for before, after in itertools.pairwise(asked):
        spoken = len(before["body"]["messages"])
        assert without_marks(after["body"]["messages"][:spoken]) == without_marks(before["body"]["messages"])
    assert sorted(path.name for path in workspace.iterdir()) == [f"n{number}.txt" for number in range(5)]


def without_marks(node: object) -> object:
    """Messages without the vendor's cache marks, which move along with the end."""
    if isinstance(node, dict):
        return {key: without_marks(value) for key, value in node.items() if key != "cache_control"}
    return [without_marks(each) for each in node] if isinstance(node, list) else node
