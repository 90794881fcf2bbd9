"""What a person is told of tasks, sessions and tools, each by a real process."""

import asyncio
import re
from pathlib import Path

import pytest

from autohands.testing.script import Turn, call, say
from autohands.testing.vendors import FakeVendors
from cli.command import environment, run, start, until
from cli.terminal import Terminal, autohands

pytestmark = pytest.mark.slow

MODEL = ("--model", "openai/gpt-4o")
SLOWLY = Turn(text="one two three four five six seven eight nine ten " * 20, pause_seconds=0.1)


async def test_a_task_shows_its_calls_what_was_denied_and_what_it_cost(home: Path, workspace: Path) -> None:
    script = [call("write_file", path="a.txt", content="x"), say("I may not.")]
    async with FakeVendors(script) as fake:
        task = (await run("run", "x", "--json", *MODEL, fake=fake, directory=workspace)).events[-1]["task"]
    shown = (await run("task", "show", task, "--json")).json
    denied = next(step for step in shown["steps"] if step["name"] == "write_file")
    assert (denied["what"], denied["denied"]) == ("a.txt", True)
    assert denied["why"].startswith("denied: nobody is there to approve it: write_file changes something")
    assert (shown["usage"]["input"] > 0, shown["micro_usd"] >= 0) == (True, True)
    text = (await run("task", "show", task)).out
    assert re.search(r"write_file +denied .* a.txt +denied: nobody is there", text)
    assert re.search(r"^tokens +[\d,]+ tokens in", text, re.M)
    assert re.search(r"^cost +\$", text, re.M)
    again = await run("task", "resume", task, fake=fake, directory=workspace)
    assert "say more with `autohands run --session ses_" in again.err


async def test_what_lost_its_process_is_shown_as_interrupted_kept_and_can_be_cancelled(
    home: Path, workspace: Path
) -> None:
    async with FakeVendors([SLOWLY]) as fake:
        process = await start("run", "x", "--session", "s1", "--json", *MODEL, fake=fake, directory=workspace)
        task = (await until(process, "text.delta"))["task"]
        alive = (await run("task", "list", "--json")).json["items"][0]
        busy = await run("run", "y", "--session", "s1", *MODEL, fake=fake, directory=workspace)
        process.kill()
        await process.communicate()
    assert (alive["state"], "interrupted" in alive) == ("running", False)
    assert (busy.status, f"wait for it, or `autohands task cancel {task}`" in busy.err) == (1, True)
    listed = (await run("task", "list", "--json")).json["items"][0]
    assert (listed["state"], listed["interrupted"]) == ("running", True)
    assert re.search(rf"{task} +interrupted", (await run("task", "list")).out)
    assert f"autohands task resume {task}" in (await run("task", "show", task)).out
    kept = await run("session", "delete", "--older-than", "0d")
    assert (kept.status, kept.out) == (0, "")
    assert f"kept s1: task {task} of this session is running" in kept.err
    assert (await run("task", "cancel", task)).out == f"{task}: cancelled\n"
    assert len((await run("session", "delete", "--older-than", "0d", "--json")).json["items"]) == 1


async def test_tools_are_listed_with_their_effect(home: Path) -> None:
    items = {item["name"]: item["effect"] for item in (await run("tool", "list", "--json")).json["items"]}
    assert (items["read_file"], items["exec"], items["background"]) == ("read", "irreversible", "varies")
    assert re.search(r"^effect +compensable", (await run("tool", "show", "edit_file")).out, re.M)


async def test_a_recording_is_not_mixed_with_what_a_file_holds(home: Path, workspace: Path) -> None:
    file = workspace / "r.jsonl"
    file.write_text("mine\n")
    async with FakeVendors([say("x")]) as fake:
        done = await run("run", "x", "--record", str(file), *MODEL, fake=fake, directory=workspace)
        file.write_text("")
        fresh = await run("run", "x", "--record", str(file), *MODEL, fake=fake, directory=workspace)
    assert (done.status, done.err) == (2, f"error: {file} exists; name another file, or delete it\n")
    assert (fresh.status, len(fake.requests)) == (0, 1)


async def test_a_session_is_continued_by_its_name_or_the_beginning_of_its_id(home: Path, workspace: Path) -> None:
    async with FakeVendors([say("first"), say("second")]) as fake:
        named = await run("run", "x", "--session", "s1", *MODEL, fake=fake, directory=workspace)
        session = (await run("session", "show", "s1", "--json")).json["id"]
        short = await run("run", "y", "--session", session[:30], *MODEL, fake=fake, directory=workspace)
    assert "go on: autohands run --session s1 " in named.err
    assert (short.status, short.out) == (0, "second\n")


async def test_a_conversation_says_where_it_is_and_what_was_said_last(home: Path, workspace: Path) -> None:
    def play(fake: FakeVendors) -> None:
        with Terminal(autohands("chat", *MODEL), environment(fake), workspace) as person:
            assert "session a new one" in person.expect("a new one")
            assert "model openai/gpt-4o" in person.text
            person.send("/session fresh\r")
            person.expect("it begins with your next words")
            person.send("hello\r")
            person.expect("the answer")
            person.send("/new\r")
            person.expect("a new session")
            person.send("/session fresh\r")
            person.expect("last time you said: hello")
            person.expect("and the answer was: the answer")
            person.send("\x04")
            person.expect("go on: autohands chat --session fresh")
            assert person.wait() == 0

    async with FakeVendors([say("the answer")]) as fake:
        await asyncio.to_thread(play, fake)
    sessions = (await run("session", "list", "--json")).json["items"]
    assert [item["name"] for item in sessions] == ["fresh"]


async def test_an_approval_says_in_plain_words_what_may_happen(home: Path, workspace: Path) -> None:
    def play(fake: FakeVendors) -> None:
        with Terminal(autohands("run", "x", *MODEL), environment(fake), workspace) as person:
            card = person.expect("Allow it?")
            assert "exec wants your approval (may change anything; cannot be undone)" in card
            assert "run in the workspace:" in card
            assert "irreversible" not in card
            person.send("n\n")
            assert person.wait() == 0

    async with FakeVendors([call("exec", command="true"), say("No.")]) as fake:
        await asyncio.to_thread(play, fake)
