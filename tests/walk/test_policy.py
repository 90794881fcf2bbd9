"""The policy from outside: shown, explained, tested on what is recorded; and a floor that nothing lifts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from autohands.protocols.context import ToolContext
from autohands.protocols.messages import ToolReturn
from autohands.sdk import tool
from autohands.testing.script import ScriptedCall, call, calls, say
from autohands.testing.scripted import Scripted

from .conftest import Open
from .served import command

RULES = """
[[policy.rule]]
tool = "exec"
then = "allow"

[[policy.rule]]
command = "git push*"
then = "deny"
"""


def told(model: Scripted) -> list[str]:
    """What the model read of its calls."""
    parts = [part for message in model.requests[-1].messages for part in message.parts]
    return [part.text for part in parts if isinstance(part, ToolReturn)]


async def test_ap11_fs19_the_floor_holds_with_yes_with_rules_and_in_direct_calls(
    opened: Open, home: Path, workspace: Path
) -> None:
    (workspace / "kept").touch()
    everything = {"policy": {"rule": [{"tool": "*", "then": "allow"}]}}
    commands = [f"rm -rf {workspace}", "rm -rf .", f"echo x > {home}/config.toml", "dd if=kept of=/dev/sdz"]
    asked = [ScriptedCall("exec", {"command": each}) for each in commands]
    asked.append(ScriptedCall("write_file", {"path": f"{home}/config.toml", "content": "x"}))
    async with opened(calls(*asked), "ok", config=everything) as (hands, model):
        await hands.ask("Go", consent="workspace")
        assert [text.partition(",")[0] for text in told(model)] == ["denied: the hard floor forbids it"] * 5
        for each in asked:
            assert isinstance(each.arguments, dict)
            result = await hands.call_tool(each.name, each.arguments)
            assert result.failed
            assert result.text.startswith("denied: the hard floor forbids it")
    assert (workspace / "kept").exists()
    assert not (home / "config.toml").exists()


async def test_ap06_a_run_under_way_is_only_tightened(opened: Open, home: Path, workspace: Path) -> None:
    began, change = asyncio.Event(), asyncio.Event()

    @tool(effect="read")
    async def pause(ctx: ToolContext) -> str:
        """Wait."""
        began.set()
        await change.wait()
        change.clear()
        began.clear()
        return "go on"

    file = home / "config.toml"

    async def rule(then: str) -> None:
        file.write_text(f'[[policy.rule]]\ntool = "write_file"\nthen = "{then}"\n')
        hands.obey(hands.read())
        began.clear()
        change.set()

    def write(name: str) -> ScriptedCall:
        return ScriptedCall("write_file", {"path": name, "content": "x"})

    turns = (call("pause"), calls(write("a")), call("pause"), calls(write("b")), say("Done."))
    file.write_text('[[policy.rule]]\ntool = "write_file"\nthen = "deny"\n')
    file.chmod(0o600)
    async with opened(*turns, tools=(pause,)) as (hands, model):
        asking = asyncio.ensure_future(hands.ask("Go", consent="workspace"))
        await began.wait()
        await rule("allow")
        await began.wait()
        await rule("allow")
        assert await asking == "Done."
        texts = [text for text in told(model) if text != "go on"]
        assert all(text.startswith("denied: the policy forbids write_file") for text in texts), "it was not loosened"
    assert not list(workspace.iterdir())


async def test_ap06_what_is_tightened_holds_at_once(opened: Open, home: Path, workspace: Path) -> None:
    began, change = asyncio.Event(), asyncio.Event()

    @tool(effect="read")
    async def pause(ctx: ToolContext) -> str:
        """Wait."""
        began.set()
        await change.wait()
        return "go on"

    file = home / "config.toml"
    turns = (call("pause"), call("write_file", path="a", content="x"), say("Done."))
    async with opened(*turns, tools=(pause,)) as (hands, model):
        asking = asyncio.ensure_future(hands.ask("Go", consent="workspace"))
        await began.wait()
        file.write_text('[[policy.rule]]\ntool = "write_file"\nthen = "deny"\n')
        file.chmod(0o600)
        hands.obey(hands.read())
        change.set()
        await asking
        assert told(model)[-1].startswith("denied: the policy forbids write_file")
    assert not list(workspace.iterdir())


@pytest.fixture
async def recorded(opened: Open, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with three recorded runs."""
    monkeypatch.setenv("AUTOHANDS_HOME", str(home))
    loose = {"policy": {"rule": [{"tool": "exec", "command": "*", "then": "allow"}]}}
    script = (calls(*(ScriptedCall("exec", {"command": f"echo git {each}"}) for each in ("push", "log"))), "ok")
    async with opened(*script, config=loose) as (hands, _):
        await hands.ask("Go", consent="ask")
    async with opened(call("write_file", path="a", content="b"), "ok") as (hands, _):
        await hands.ask("Go", consent="workspace")
    async with opened(call("write_file", path="c", content="d"), "ok") as (hands, _):
        await hands.ask("Go", consent="deny")
    (home / "config.toml").write_text(
        '[[policy.rule]]\ncommand = "echo git push"\nthen = "deny"\n\n'
        '[[policy.rule]]\ntool = "exec"\nthen = "allow"\n\n[[policy.rule]]\npath = "c"\nthen = "allow"\n'
    )
    (home / "config.toml").chmod(0o600)


async def test_policy_test_names_what_would_be_decided_otherwise(recorded: None, workspace: Path) -> None:
    done = await command("policy", "test", "--last", "30d", "--json", directory=workspace)
    differing = [(each["tool"], each["then"], each["now"]) for each in done.json["items"]]
    assert differing == [("exec", "unasked", "denied"), ("write_file", "denied", "unasked")]
    assert "config.toml:1" in done.json["items"][0]["why"]
    shown = await command("policy", "test", directory=workspace)
    assert "4 calls, 2 would be decided otherwise" in shown.err
    await command("policy", "test", "--last", "soon", directory=workspace, status=2)


async def test_ap05_policy_explain_shows_the_conflict(
    home: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOHANDS_HOME", str(home))
    (home / "config.toml").write_text(RULES)
    (home / "config.toml").chmod(0o600)
    push = await command("policy", "explain", "exec", '{"command": "git push"}', "--json", directory=workspace)
    assert (push.json["verdict"], push.json["conflict"]) == ("deny", True)
    assert [(each["number"], each["decides"]) for each in push.json["matching"]] == [(1, False), (2, True)]
    told = (await command("policy", "explain", "exec", '{"command": "git push"}', directory=workspace)).out
    assert told.startswith("deny: the policy forbids exec here")
    assert "conflict: " in told
    log = (await command("policy", "explain", "exec", '{"command": "ls"}', directory=workspace)).out
    assert log.startswith("allow")
    assert "conflict" not in log
    floor = await command("policy", "explain", "exec", '{"command": "rm -rf ~"}', "--json", directory=workspace)
    assert floor.json["floor"]
    rules = (await command("policy", "show", "--json", directory=workspace)).json["items"]
    assert [each["rule"] for each in rules][1] == 'then = "deny", command = "git push*"'
