"""Ten tool turns on Ark through the command line, by each protocol, with and without answers that Ark keeps."""

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


@pytest.mark.parametrize(
    ("table", "api"),
    [
        ("", "ark"),
        ('[extensions.provider-ark]\napi = "responses"\n', "ark-responses"),
        ('[extensions.provider-ark]\napi = "responses"\ncache = "session"\n', "ark-responses"),
    ],
    ids=["chat", "responses", "session"],
)
def test_ten_tool_turns_on_ark(table: str, api: str, home: Path, workspace: Path, tmp_path: Path) -> None:
    (home / "config.toml").write_text(table)
    (home / "config.toml").chmod(0o600)
    with serving(tmp_path, ten_turns()) as service:
        env = environment(home, ARK_API_KEY="key", ARK_BASE_URL=f"{service.url}/api/v3")
        command = ("run", "Write five files and check them", "--model", "ark/fake", "--yes", "--json")
        result = autohands(*command, env=env, cwd=workspace)
        asked = service.requests()
    events = lines(result.stdout)
    assert (result.returncode, events[-1]["type"], events[-1]["reason"]) == (0, "run.finished", "done"), result.stderr
    assert [event["status"] for event in events if event["type"] == "tool.finished"] == ["done"] * 15
    assert [request["api"] for request in asked] == [api] * 11
    assert [request["problem"] for request in asked] == [None] * 11
    place = "messages" if api == "ark" else "input"
    told = [request["body"][place] for request in asked]
    if "session" in table:
        assert ["previous_response_id" in request["body"] for request in asked] == [False] + [True] * 10
        assert max(map(len, told[1:])) <= 2
    else:
        assert all(after[: len(before)] == before for before, after in itertools.pairwise(told))
    assert sorted(path.name for path in workspace.iterdir()) == [f"n{number}.txt" for number in range(5)]
