"""Ten tool turns on a local server through the command line, and what is said where there is none."""

from __future__ import annotations

import itertools
import json
import socket
from pathlib import Path

import pytest

from autohands.testing.script import ScriptedCall, Turn, call, calls, say

from .processes import autohands, environment, lines, serving

PRINTED = '<tool_call>\n{"name": "read_file", "arguments": {"path": "n4.txt"}}\n</tool_call>'


def ten_turns() -> list[Turn]:
    """Five files are written and read back; the last call of all is printed as text."""
    turns: list[Turn] = []
    for number in range(5):
        path = f"n{number}.txt"
        turns.append(call("write_file", says=f"Step {number}.", path=path, content=f"number {number}\n"))
        counted = ScriptedCall("exec", {"command": f"wc -l {path}"})
        turns.append(calls(counted, ScriptedCall("read_file", {"path": path})) if number < 4 else say(PRINTED))
    return [*turns, Turn(text="Five files written and checked.")]


@pytest.mark.parametrize(("beneath", "api"), [("/ollama", "ollama"), ("", "chat")])
def test_ten_tool_turns_on_a_local_server(beneath: str, api: str, home: Path, workspace: Path, tmp_path: Path) -> None:
    with serving(tmp_path, ten_turns()) as service:
        env = environment(home, LOCAL_BASE_URL=f"{service.url}{beneath}", LOCAL_API_KEY="none")
        command = ("run", "Write five files and check them", "--model", "local/fake", "--yes", "--json")
        result = autohands(*command, env=env, cwd=workspace)
        asked = [request for request in service.requests() if request["api"] == api]
    events = lines(result.stdout)
    assert (result.returncode, events[-1]["type"], events[-1]["reason"]) == (0, "run.finished", "done"), result.stderr
    assert [event["status"] for event in events if event["type"] == "tool.finished"] == ["done"] * 14
    assert [request["problem"] for request in asked] == [None] * 11
    for before, after in itertools.pairwise(asked):
        assert after["body"]["messages"][: len(before["body"]["messages"])] == before["body"]["messages"]
    assert sorted(path.name for path in workspace.iterdir()) == [f"n{number}.txt" for number in range(5)]


def test_without_a_key_the_local_server_that_answers_is_taken(home: Path, workspace: Path, tmp_path: Path) -> None:
    with serving(tmp_path, [say("Here I am.")]) as service:
        env = environment(home, LOCAL_BASE_URL=f"{service.url}/ollama")
        result = autohands("run", "Who are you?", "--json", env=env, cwd=workspace)
        (asked,) = [request for request in service.requests() if request["api"] == "ollama"]
        listed = autohands("provider", "list", "--json", env=env, cwd=workspace)
    assert (result.returncode, lines(result.stdout)[-1]["reason"]) == (0, "done"), result.stderr
    assert asked["body"]["model"] == "fake-small"
    assert asked["body"]["options"]["num_ctx"] == 32_768
    (local,) = [item for item in json.loads(listed.stdout)["items"] if item["name"] == "local"]
    assert (local["available"], local["default_model"]) == (True, "fake-small")


def test_without_a_key_and_without_a_server_the_ways_to_a_model_are_shown(home: Path, workspace: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    result = autohands("run", "Hi", env=environment(home, LOCAL_BASE_URL=nobody), cwd=workspace)
    assert result.returncode == 2
    assert "no model" in result.stderr
    assert "demo" in result.stderr
