"""Questions to a person, answered from another terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from autohands.testing.script import call, say

from .served import command, events, served

pytestmark = pytest.mark.slow
WRITE = call("write_file", path="hello.txt", content="hello\n\x1b[31mred\n")


@pytest.mark.parametrize("answer", ["allow", "deny"])
async def test_a_question_is_listed_shown_whole_and_answered_once(answer: str, home: Path, workspace: Path) -> None:
    async with served(home, workspace, WRITE, say("So be it.")) as (hands, _):
        none = await command("approval", "list", directory=workspace)
        assert "nothing waits" in none.err
        task = (await command("task", "submit", "greet", directory=workspace)).out.strip()
        await events(hands, task, "task.waiting")
        (item,) = (await command("approval", "list", "--json", directory=workspace)).json["items"]
        assert (item["task"], item["tool"], item["state"]) == (task, "write_file", "pending")
        shown = (await command("approval", "show", item["id"][:-4], directory=workspace)).out
        assert "+hello" in shown
        assert "\x1b" not in shown
        assert "red" in shown
        said = await command("approval", answer, item["id"], directory=workspace)
        assert said.out.startswith(f"{item['id']}: {'allowed' if answer == 'allow' else 'denied'}")
        ended = (await events(hands, task))[-1]
        assert ended["reason"] == "done"
        assert (workspace / "hello.txt").exists() is (answer == "allow")
        other = "deny" if answer == "allow" else "allow"
        refused = await command("approval", other, item["id"], directory=workspace, status=1)
        assert "is closed already" in refused.err
        everything = (await command("approval", "list", "--all", "--json", directory=workspace)).json["items"]
        assert [(each["state"], each["by"]) for each in everything] == [(answer, "owner")]


async def test_what_is_no_approval_is_not_found(home: Path, workspace: Path) -> None:
    for name in ("show", "allow", "deny"):
        refused = await command("approval", name, "apr_none", directory=workspace, status=2)
        assert "there is no approval 'apr_none'" in refused.err
