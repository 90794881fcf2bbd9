"""A person at a terminal: approvals, interrupts, a conversation. The terminal is real, and so is the program."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from autohands.testing.script import Turn, call, say
from autohands.testing.vendors import FakeVendors
from cli.command import environment, run
from cli.terminal import Terminal, autohands

pytestmark = pytest.mark.slow

MODEL = ("--model", "openai/gpt-4o")
WRITE = call("write_file", says="I write it.", path="hello.txt", content="hello\n")
SLOWLY = Turn(text="one two three four five six seven eight nine ten " * 10, pause_seconds=0.15)

Story = Callable[[Terminal], None]


async def tell(script: list[Turn], story: Story, *arguments: str, workspace: Path, columns: int = 100) -> FakeVendors:
    """Start a command in a terminal and play the person's part, in a thread beside the fake service."""

    def play(fake: FakeVendors) -> None:
        with Terminal(autohands(*arguments), environment(fake), workspace, columns=columns) as terminal:
            story(terminal)

    async with FakeVendors(script) as fake:
        await asyncio.to_thread(play, fake)
    assert fake.problems == []
    return fake


async def test_yes_runs_what_the_card_shows(home: Path, workspace: Path) -> None:
    def story(person: Terminal) -> None:
        card = person.expect("Allow it?")
        assert "┌ write_file wants your approval" in card
        assert "│ +hello" in card
        assert not (workspace / "hello.txt").exists()
        person.send("d\n")
        assert '"content": "hello\\n"' in person.expect("Allow it?")
        person.send("perhaps\n")
        person.expect("Please answer y or n")
        person.expect("Allow it?")
        person.send("y\n")
        person.expect("✓ write_file hello.txt")
        assert person.wait() == 0

    await tell([WRITE, say("Done.")], story, "run", "greet", *MODEL, workspace=workspace)
    assert (workspace / "hello.txt").read_text() == "hello\n"


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
async def test_no_and_nothing_and_the_end_of_input_deny(home: Path, workspace: Path, answer: str) -> None:
    def story(person: Terminal) -> None:
        person.expect("Allow it?")
        person.send(answer)
        person.expect("⊘ write_file hello.txt: denied: owner said no")
        assert person.wait() == 0

    fake = await tell([WRITE, say("Then not.")], story, "run", "greet", *MODEL, workspace=workspace)
    assert not (workspace / "hello.txt").exists()
    assert "denied" in str(fake.requests[1].body["messages"][-1])


async def test_what_was_typed_before_the_card_answers_nothing(home: Path, workspace: Path) -> None:
    def story(person: Terminal) -> None:
        person.send("y\ny\n")
        person.expect("Allow it?")
        person.send("n\n")
        person.expect("⊘ write_file")
        assert person.wait() == 0

    slow = Turn(text="one two three four five", calls=WRITE.calls, pause_seconds=0.05)
    await tell([slow, say("Then not.")], story, "run", "greet", *MODEL, workspace=workspace)
    assert not (workspace / "hello.txt").exists()


async def test_ctrl_c_at_the_question_cancels(home: Path, workspace: Path) -> None:
    def story(person: Terminal) -> None:
        person.expect("Allow it?")
        person.send("\x03")
        person.expect("✗ cancelled")
        assert person.wait() == 130

    await tell([WRITE], story, "run", "greet", *MODEL, workspace=workspace)
    assert not (workspace / "hello.txt").exists()


async def test_a_second_ctrl_c_leaves_at_once(home: Path, workspace: Path) -> None:
    deaf = call("exec", command="trap '' TERM INT; sleep 30")

    def story(person: Terminal) -> None:
        person.expect("two")
        person.send("\x03")
        person.send("\x03")
        assert person.wait() == 130

    await tell([SLOWLY, deaf], story, "run", "x", "--yes", *MODEL, workspace=workspace)


async def test_an_open_question_is_asked_again_when_the_task_is_resumed(home: Path, workspace: Path) -> None:
    task = ""

    def leave(person: Terminal) -> None:
        person.expect("Allow it?")
        person.process.kill()
        person.wait()

    def answer(person: Terminal) -> None:
        nonlocal task
        assert "│ +hello" in person.expect("Allow it?")
        person.send("y\n")
        person.expect("Done.")
        assert person.wait() == 0

    await tell([WRITE, say("Done.")], leave, "run", "greet", "--session", "s1", *MODEL, workspace=workspace)
    fake = await tell([WRITE, say("Done.")], answer, "run", "and?", "--session", "s1", *MODEL, workspace=workspace)
    assert (workspace / "hello.txt").read_text() == "hello\n"
    assert fake.requests[0].turn == 1


async def test_the_answer_goes_to_a_pipe_and_the_question_to_the_terminal(home: Path, workspace: Path) -> None:
    reader, writer = os.pipe()

    def play(fake: FakeVendors) -> None:
        with Terminal(
            autohands("run", "greet", *MODEL), environment(fake), workspace, streams={"stdout": writer}
        ) as person:
            os.close(writer)
            person.expect("Allow it?")
            person.send("y\n")
            assert person.wait() == 0

    async with FakeVendors([WRITE, say("Done.")]) as fake:
        await asyncio.to_thread(play, fake)
    with os.fdopen(reader, "rb") as out:
        assert out.read() == b"Done.\n"


async def test_a_conversation(home: Path, workspace: Path) -> None:
    def story(person: Terminal) -> None:
        person.expect("Ctrl-D leaves")
        person.send("/hepl\r")
        person.expect("did you mean /help?")
        person.send("/tools\r")
        person.expect("read_file")
        person.send("greet\r")
        assert "│ +hello" in person.expect("Allow it?")
        person.send("y\r")
        person.expect("✓ write_file hello.txt")
        person.expect("Done.")
        person.expect("2 turns")
        person.send("/session\r")
        person.expect("session: ses_")
        person.send("\x03")
        person.send("and now?\r")
        person.expect("Nothing more.")
        person.expect("1 turn")
        person.send("\x04")
        person.expect("autohands chat --session ses_")
        assert person.wait() == 0

    script = [WRITE, say("Done."), say("Nothing more.")]
    fake = await tell(script, story, "chat", *MODEL, workspace=workspace)
    assert "greet" in str(fake.requests[2].body["messages"])
    history = home / "chat_history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "+and now?" in history.read_text()


async def test_words_to_a_run_under_way_and_ctrl_c_back_to_the_prompt(home: Path, workspace: Path) -> None:
    def story(person: Terminal) -> None:
        person.expect("Ctrl-D leaves")
        person.send("count\r")
        person.expect("two")
        person.send("in French\r")
        person.expect("› in French")
        person.expect("deux")
        person.send("\x03")
        person.expect("✗ cancelled")
        person.send("/exit\r")
        assert person.wait() == 0

    counting = Turn(text="one two three four " * 3, pause_seconds=0.1)
    french = Turn(text="un deux trois quatre cinq " * 20, pause_seconds=0.15)
    fake = await tell([counting, french], story, "chat", *MODEL, workspace=workspace)
    assert len(fake.requests) == 2
    assert "in French" in str(fake.requests[1].body["messages"][-1])


async def test_nothing_breaks_in_a_narrow_terminal(home: Path, workspace: Path) -> None:
    def run(person: Terminal) -> None:
        person.expect("✓ write_file hello.txt")
        assert person.wait() == 0

    def look(person: Terminal) -> None:
        person.expect("done")
        assert person.wait() == 0
        assert max(map(len, person.text.splitlines())) <= 40

    await tell([WRITE, say("日本語 " * 30)], run, "run", "greet", "--yes", *MODEL, workspace=workspace, columns=20)
    await tell([], look, "task", "list", workspace=workspace, columns=40)


async def test_a_conversation_takes_up_its_open_question(home: Path, workspace: Path) -> None:
    def leave(person: Terminal) -> None:
        person.expect("Ctrl-D leaves")
        person.send("greet\r")
        person.expect("Allow it?")
        person.process.kill()
        person.wait()

    def deny(person: Terminal) -> None:
        person.expect("takes up task_")
        person.expect("┌ write_file")
        person.expect("Allow it?")
        person.send("what?\r")
        person.expect("Please answer y or n")
        person.send("n\r")
        person.expect("owner said no")
        person.expect("2 turns")
        person.send("\x04")
        assert person.wait() == 0

    for story in (leave, deny):
        await tell([WRITE, say("Then not.")], story, "chat", "--session", "s1", *MODEL, workspace=workspace)
    assert not (workspace / "hello.txt").exists()


async def test_long_work_shows_what_goes_on_and_lists_are_tables(home: Path, workspace: Path) -> None:
    def wait(person: Terminal) -> None:
        person.expect("exec echo begin; sleep 1: begin")
        person.expect("✓ exec echo begin; sleep 1 (1.")
        assert person.wait() == 0

    def look(person: Terminal) -> None:
        person.expect("id ")
        person.expect("done")
        assert person.wait() == 0

    work = [call("exec", command="echo begin; sleep 1"), say("Done.")]
    await tell(work, wait, "run", "wait", "--yes", *MODEL, workspace=workspace)
    await tell([], look, "task", "list", workspace=workspace, columns=120)


async def test_a_question_that_nobody_can_answer_ends_with_task_waiting_and_exit_4(home: Path, workspace: Path) -> None:
    def leave(person: Terminal) -> None:
        person.expect("Allow it?")
        person.process.kill()
        person.wait()

    await tell([WRITE], leave, "run", "greet", *MODEL, workspace=workspace)
    task = (await run("task", "list", "--json")).json["items"][0]["id"]
    async with FakeVendors([WRITE, say("Done.")]) as fake:
        done = await run("task", "resume", task, "--json", fake=fake, directory=workspace)
        assert (done.status, done.events[-1]["type"]) == (4, "task.waiting")
        assert fake.requests == []
        allowed = await run("task", "resume", task, "--json", "--yes", fake=fake, directory=workspace)
    assert (allowed.status, allowed.events[-1]["reason"]) == (0, "done")
    assert (workspace / "hello.txt").exists()
