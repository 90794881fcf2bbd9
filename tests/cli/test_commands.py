"""The commands that look and change, each in a real process: what they print, as text and as JSON."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from autohands.testing.script import call, say
from autohands.testing.vendors import FakeVendors
from cli.command import Done, run

pytestmark = pytest.mark.slow

MODEL = ("--model", "openai/gpt-4o")
TOOLS = {"read_file", "write_file", "edit_file", "list_directory", "create_directory", "delete_file", "move_file"}


async def story(workspace: Path, *more: str) -> Done:
    """One finished run with one effect."""
    script = [call("write_file", path="a.txt", content="x"), say("Done: a.txt")]
    async with FakeVendors(script) as fake:
        return await run("run", "make a.txt", "--yes", "--json", *MODEL, *more, fake=fake, directory=workspace)


async def test_tasks_are_listed_and_shown_with_steps_and_events(home: Path, workspace: Path) -> None:
    task = (await story(workspace)).events[-1]["task"]
    listed = (await run("task", "list", "--json", "--state", "done")).json["items"]
    assert [item["id"] for item in listed] == [task]
    created = datetime.fromisoformat(listed[0]["created"])
    assert created.utcoffset() is not None
    shown = (await run("task", "show", task[:16], "--json", "--events")).json
    assert [(step["turn"], step["index"], step["name"], step["status"]) for step in shown["steps"]] == [
        (1, 0, "gpt-4o", "done"),
        (1, 1, "write_file", "done"),
        (2, 0, "gpt-4o", "done"),
    ]
    assert (shown["state"], shown["text"], shown["turns"]) == ("done", "Done: a.txt", 2)
    assert shown["events"][-1]["type"] == "run.finished"
    text = (await run("task", "show", task, "--events")).out
    assert "write_file" in text
    assert "run.finished" in text
    assert (await run("task", "list", "--state", "failed", "--json")).json == {"items": []}
    gone = await run("task", "show", "task_00000000-0000")
    assert (gone.status, gone.err.count("\n")) == (2, 1)


async def test_cancelling_what_has_ended_says_how_it_ended(home: Path, workspace: Path) -> None:
    task = (await story(workspace)).events[-1]["task"]
    done = await run("task", "cancel", task)
    assert "done" in done.out + done.err
    assert (await run("task", "show", task, "--json")).json["state"] == "done"


async def test_a_session_explains_why_its_cache_was_missed(home: Path, workspace: Path) -> None:
    await story(workspace, "--session", "work")
    assert (await run("session", "show", "work", "--json")).json["context"] == []
    async with FakeVendors([say("Again.")]) as fake:
        more = ("--yes", "--json", "--session", "work", "--model", "openai/gpt-4o-mini")
        await run("run", "and again", *more, fake=fake, directory=workspace)
    (missed,) = (await run("session", "show", "work", "--json")).json["context"]
    assert (missed["type"], missed["segment"]) == ("cache.missed", "model")
    text = (await run("session", "show", "work")).out
    assert "turn 1: cache missed at model (another model is asked)" in " ".join(text.split())


async def test_sessions_are_found_renamed_and_deleted(home: Path, workspace: Path) -> None:
    await story(workspace, "--session", "work")
    listed = (await run("session", "list", "--json")).json["items"]
    assert [(item["name"], item["tasks"]) for item in listed] == [("work", 1)]
    assert (await run("session", "rename", "work", "The first file")).status == 0
    assert (await run("session", "search", "first", "--json")).json["items"][0]["title"] == "The first file"
    assert (await run("session", "search", "a.txt", "--json")).json["items"][0]["name"] == "work"
    assert (await run("session", "search", "elephant", "--json")).json["items"] == []
    assert "make a.txt" in (await run("session", "show", "work")).out
    assert "**You:** make a.txt" in (await run("session", "export", "work")).out
    exported = [json.loads(line) for line in (await run("session", "export", "work", "--json")).out.splitlines()]
    assert [line["type"] for line in exported][:3] == ["session", "task", "step"]
    assert exported[2]["output"][0]["parts"][0]["text"] == "make a.txt"
    assert (await run("session", "delete", "--older-than", "1d", "--json")).json["items"] == []
    assert (await run("session", "delete", "work")).status == 0
    assert (await run("session", "show", "work")).status == 2


async def test_tools_are_listed_shown_and_called(home: Path, workspace: Path) -> None:
    items = (await run("tool", "list", "--json")).json["items"]
    assert {item["name"] for item in items} >= TOOLS
    assert (await run("tool", "show", "read_file", "--json")).json["parameters"]["required"] == ["path"]
    write = await run("tool", "call", "write_file", '{"path": "x/y.txt", "content": "hi"}', directory=workspace)
    assert (write.status, (workspace / "x/y.txt").read_text()) == (0, "hi")
    read = await run("tool", "call", "read_file", "-", "--json", directory=workspace, data=b'{"path": "x/y.txt"}')
    assert (read.status, read.json["text"], read.json["failed"]) == (0, "hi", False)
    assert read.json["data"]["path"] == "x/y.txt"
    missing = await run("tool", "call", "read_file", '{"path": "nope"}', "--workspace", str(workspace))
    assert missing.status == 1
    assert missing.out.startswith("not_found: nope")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("read_fiel", "{}"), "did you mean 'read_file'"),
        (("read_file", '{"pth": "x"}'), "did you mean `path`"),
        (("read_file", '{"path": "x"'), "not a JSON object"),
        (("read_file", "[1]"), "not a JSON object"),
    ],
)
async def test_a_call_that_makes_no_sense_exits_2(home: Path, workspace: Path, arguments: list[str], said: str) -> None:
    done = await run("tool", "call", *arguments, directory=workspace)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


async def test_providers_are_listed_and_asked(home: Path, workspace: Path) -> None:
    async with FakeVendors([say("ready")]) as fake:
        listed = (await run("provider", "list", "--json", fake=fake)).json["items"]
        models = (await run("provider", "models", "openai", "--json", fake=fake)).json["items"]
        test = await run("provider", "test", "anthropic", "--json", fake=fake)
    assert {"openai": True, "anthropic": True}.items() <= {item["name"]: item["available"] for item in listed}.items()
    assert "openai/fake-small" in [item["model"] for item in models]
    assert (test.status, test.json["answer"]) == (0, "ready")
    assert test.json["seconds"] >= test.json["first_token_seconds"] > 0
    assert test.json["output_tokens"] >= 1
    nobody = await run("provider", "test")
    assert (nobody.status, nobody.err.count("\n")) == (2, 1)
    assert (await run("provider", "models", "opnai")).status == 2


async def test_the_doctor_finds_what_is_wrong(home: Path, workspace: Path) -> None:
    async with FakeVendors([]) as fake:
        well = await run("doctor", "--json", fake=fake)
    findings = {item["check"]: item for item in well.json["items"]}
    assert {"python", "home", "disk", "config", "storage", "providers", "ripgrep", "commands"} <= set(findings)
    assert findings["ripgrep"]["status"] == "ok"
    assert "unconfined" in findings["commands"]["message"]
    assert "openai" in findings["providers"]["message"]
    home.chmod(0o755)
    (home / "config.toml").write_text("modle = 1\nagnet = 2\n")
    (home / "autohands.db").write_bytes(b"no database" * 1000)
    ill = await run("doctor")
    assert ill.status == 1
    assert re.search(r"✗ home .* mode 755", ill.out)
    assert f"chmod 700 {home}" in ill.out
    assert re.search(r"✗ config .*config.toml:1: modle.*\n +/.*config.toml:2: agnet", ill.out)
    assert re.search(r"✗ storage ", ill.out)
    assert "! providers" not in ill.out


async def test_the_doctor_names_broken_extensions_and_missing_keys(home: Path, workspace: Path) -> None:
    broken = home / "extensions" / "hollow"
    broken.mkdir(parents=True)
    (broken / "extension.toml").write_text("name = 'other'\n")
    done = await run("doctor")
    assert done.status == 1
    assert "✗ extension    hollow: " in done.out
    assert "! providers    no provider has a key" in done.out
    listed = json.loads((await run("extension", "list", "--json")).out)["items"]
    assert next(item for item in listed if item["name"] == "hollow")["status"] == "broken"


async def test_chat_reads_a_line_for_each_request_where_there_is_no_terminal(home: Path, workspace: Path) -> None:
    script = [say("first answer"), say("second answer")]
    words = b"one\n\n/session\n/model nope/x\n/tools\ntwo\n/exit\nnever\n"
    async with FakeVendors(script) as fake:
        done = await run("chat", *MODEL, fake=fake, directory=workspace, data=words)
        as_json = await run("chat", "--json", *MODEL, fake=fake, directory=workspace, data=b"one\n")
    assert (done.status, done.out) == (0, "first answer\nsecond answer\n")
    assert "session: ses_" in done.err
    assert "no provider named 'nope'" in done.err
    assert "read_file" in done.err
    assert [seen.turn for seen in fake.requests] == [0, 1, 0]
    assert as_json.events[-1]["type"] == "run.finished"


async def test_commands_in_a_conversation(home: Path, workspace: Path) -> None:
    words = b"/help\n/cost\n/session nope\n/model openai/other\none\n/session s1\n/new\n/session\n/xit\ntwo\n/quit\n"
    async with FakeVendors([say("answer")]) as fake:
        done = await run("chat", "--session", "s1", *MODEL, fake=fake, directory=workspace, data=words)
        sessions = (await run("session", "list", "--json")).json["items"]
    assert [seen.body["model"] for seen in fake.requests] == ["other", "other"]
    assert len(sessions) == 2
    for said in ("/session  [ID]", "today $0.0000, this session", "session: a new one", "did you mean /exit?"):
        assert said in done.err


async def test_a_workspace_file_that_looks_like_configuration_is_named(home: Path, workspace: Path) -> None:
    (workspace / "autohands.toml").write_text('model = "evil/x"\n')
    async with FakeVendors([say("fine")]) as fake:
        done = await run("run", "x", *MODEL, fake=fake, directory=workspace)
    assert done.status == 0
    assert "warning: " in done.err
    assert "autohands.toml is ignored" in done.err
