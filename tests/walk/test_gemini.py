"""Ten tool turns with Gemini through the command line; the fake service refuses whatever the vendor would refuse."""

from __future__ import annotations

import itertools
from pathlib import Path

from autohands.testing.script import ScriptedCall, Turn, call, calls

from .processes import autohands, environment, lines, serving


def ten_turns() -> list[Turn]:
    """Five files are written, and each is counted and read back by two calls of one reply."""
    turns: list[Turn] = []
    for number in range(5):
        path = f"g{number}.txt"
        write = ScriptedCall("write_file", {"path": path, "content": f"number {number}\n"})
        turns.append(Turn(thinking="One more file.", text=f"Step {number}.", calls=(write,)))
        # Calls without ids, as the earlier models make them.
        counted = ScriptedCall("exec", {"command": f"wc -l {path}"}, "")
        turns.append(calls(counted, ScriptedCall("read_file", {"path": path}, "")))
    return [*turns, Turn(text="Five files written and checked.")]


def test_ten_tool_turns_with_every_request_checked(home: Path, workspace: Path, tmp_path: Path) -> None:
    with serving(tmp_path, ten_turns()) as service:
        account = {"GEMINI_BASE_URL": f"{service.url}/v1beta", "GEMINI_API_KEY": "test"}
        command = ("run", "Write five files and check them", "--model", "gemini/fake", "--yes", "--json")
        result = autohands(*command, env=environment(home, service, **account), cwd=workspace)
        asked = service.requests()
    events = lines(result.stdout)
    assert (result.returncode, events[-1]["type"], events[-1]["reason"]) == (0, "run.finished", "done"), result.stderr
    assert [event["status"] for event in events if event["type"] == "tool.finished"] == ["done"] * 15
    assert [request["api"] for request in asked] == ["gemini"] * 11
    assert [request.get("problem") for request in asked] == [None] * 11
    for before, after in itertools.pairwise(asked):
        spoken = before["body"]["contents"]
        assert after["body"]["contents"][: len(spoken)] == spoken
        assert after["body"]["tools"] == before["body"]["tools"]
    assert sorted(path.name for path in workspace.iterdir()) == [f"g{number}.txt" for number in range(5)]


def test_a_key_is_asked_for_before_there_is_a_task_and_the_models_are_listed(
    home: Path, workspace: Path, tmp_path: Path
) -> None:
    keyless = autohands("run", "x", "--model", "gemini/fake", env=environment(home), cwd=workspace)
    assert (keyless.returncode, keyless.stdout) == (2, "")
    assert "set GEMINI_API_KEY" in keyless.stderr
    with serving(tmp_path, [call("never"), Turn(text="Hi.")]) as service:
        account = environment(home, GEMINI_BASE_URL=f"{service.url}/v1beta", GEMINI_API_KEY="test")
        listed = autohands("provider", "models", "gemini", env=account, cwd=workspace)
    assert listed.returncode == 0, listed.stderr
    assert "fake-small" in listed.stdout
    assert "fake-embedding" not in listed.stdout
