"""`autohands run` from outside to outside: a real process, real tools, a fake service that checks every request."""

import asyncio
import signal
from pathlib import Path

import pytest

from autohands.testing.script import Turn, call, say
from autohands.testing.vendors import FakeVendors
from cli.command import ended, run, start, until

pytestmark = pytest.mark.slow

OPENAI, ANTHROPIC = "openai/gpt-4o", "anthropic/claude-sonnet-4-5"
WORK = [
    call("write_file", says="I write it.", path="a/hello.txt", content="hello\n"),
    call("read_file", path="a/hello.txt"),
    say("It says **hello**."),
]
SLOWLY = [Turn(text="one two three four five six seven eight nine ten " * 20, pause_seconds=0.1)]


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
async def test_events_as_json_lines_end_with_run_finished(home: Path, workspace: Path, model: str) -> None:
    async with FakeVendors(WORK) as fake:
        done = await run("run", "greet", "--model", model, "--json", "--yes", fake=fake, directory=workspace)
    assert (done.status, fake.problems, len(fake.requests)) == (0, [], 3)
    types = [event["type"] for event in done.events]
    assert types[0] == "task.queued"
    assert {"run.started", "text.delta", "tool.started", "tool.finished", "replied"} <= set(types)
    last = done.events[-1]
    assert (last["type"], last["reason"], last["text"], last["turns"]) == (
        "run.finished",
        "done",
        "It says **hello**.",
        3,
    )
    assert (workspace / "a/hello.txt").read_text() == "hello\n"


async def test_a_pipe_gets_the_answer_and_the_rest_goes_to_standard_error(home: Path, workspace: Path) -> None:
    async with FakeVendors(WORK) as fake:
        done = await run(
            "run", "-", "--model", OPENAI, "--yes", "--workspace", str(workspace), fake=fake, data=b"greet"
        )
    assert (done.status, done.out) == (0, "It says **hello**.\n")
    assert "✓ write_file a/hello.txt" in done.err
    assert "3 turns" in done.err
    assert "greet" in str(fake.requests[0].body["messages"])


async def test_without_a_terminal_an_effect_is_denied_and_the_model_reads_why(home: Path, workspace: Path) -> None:
    async with FakeVendors([WORK[0], say("I may not.")]) as fake:
        done = await run("run", "greet", "--model", OPENAI, fake=fake, directory=workspace)
    assert (done.status, done.out) == (0, "I may not.\n")
    assert "⊘ write_file a/hello.txt: denied: nobody is there" in done.err
    assert not (workspace / "a").exists()


async def test_a_run_that_cannot_go_on_without_what_is_denied_exits_4(home: Path, workspace: Path) -> None:
    async with FakeVendors([WORK[0]] * 9) as fake:
        done = await run("run", "greet", "--model", OPENAI, "--json", fake=fake, directory=workspace)
    assert (done.status, done.events[-1]["reason"]) == (4, "denied")


async def test_limits_exit_3(home: Path, workspace: Path) -> None:
    async with FakeVendors(WORK) as fake:
        turns = await run("run", "x", "--model", OPENAI, "--max-turns", "1", "--yes", fake=fake, directory=workspace)
        money = await run("run", "x", "--model", OPENAI, "--budget", "0.0000001", fake=fake, directory=workspace)
    assert turns.status == 3
    assert "✗ turn limit: the limit of turns is reached; raise --max-turns" in turns.err
    assert money.status == 3
    assert "✗ budget: " in money.err
    assert len(fake.requests) == 1


@pytest.mark.parametrize(("fault", "said"), [("404", "does not exist"), ("401", "Incorrect API key")])
async def test_a_run_that_fails_exits_1_with_the_services_words(
    home: Path, workspace: Path, fault: str, said: str
) -> None:
    async with FakeVendors([Turn(text="never", faults=(fault,) * 9)]) as fake:
        done = await run("run", "x", "--model", OPENAI, fake=fake, directory=workspace)
    assert (done.status, done.out) == (1, "")
    assert "✗ failed: " in done.err
    assert said in done.err


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("foo/bar", "no provider named 'foo'; there are: anthropic, gemini, openai"),
        ("gpt-4o", "write provider/model"),
        ("anthropic/claude", "set ANTHROPIC_API_KEY"),
        (None, "`autohands demo` needs none"),
    ],
)
async def test_a_model_that_cannot_be_asked_exits_2_before_there_is_a_task(
    home: Path, workspace: Path, model: str | None, said: str
) -> None:
    chosen = ["--model", model] if model else []
    done = await run("run", "x", *chosen, directory=workspace)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert (await run("task", "list", "--json")).json == {"items": []}


async def test_an_empty_prompt_and_an_unknown_agent_exit_2(home: Path, workspace: Path) -> None:
    async with FakeVendors([]) as fake:
        empty = await run("run", "-", "--model", OPENAI, fake=fake, directory=workspace, data=b" \n")
        nobody = await run("run", "x", "--agent", "nobdy", "--model", OPENAI, fake=fake, directory=workspace)
    assert (empty.status, empty.err) == (2, "error: the prompt is empty; say what is to be done\n")
    assert nobody.status == 2
    assert "no agent named 'nobdy'" in nobody.err


async def test_ctrl_c_cancels_cleanly_and_exits_130(home: Path, workspace: Path) -> None:
    async with FakeVendors(SLOWLY) as fake:
        process = await start("run", "x", "--model", OPENAI, "--json", fake=fake, directory=workspace)
        task = (await until(process, "text.delta"))["task"]
        process.send_signal(signal.SIGINT)
        done = await ended(process)
        shown = await run("task", "show", task, "--json", fake=fake)
    assert (done.status, done.events[-1]["type"], done.events[-1]["reason"]) == (130, "run.finished", "cancelled")
    assert (shown.json["state"], shown.json["reason"]) == ("cancelled", "cancelled")


async def test_a_task_is_cancelled_from_another_process(home: Path, workspace: Path) -> None:
    async with FakeVendors(SLOWLY) as fake:
        process = await start("run", "x", "--model", OPENAI, "--json", fake=fake, directory=workspace)
        task = (await until(process, "text.delta"))["task"]
        assert (await run("task", "cancel", task[:20])).status == 0
        done = await ended(process)
    assert (done.status, done.events[-1]["reason"]) == (130, "cancelled")


async def test_sigterm_interrupts_and_resume_goes_on(home: Path, workspace: Path) -> None:
    script = [WORK[0], SLOWLY[0]]
    async with FakeVendors(script) as fake:
        process = await start("run", "x", "--model", OPENAI, "--json", "--yes", fake=fake, directory=workspace)
        await until(process, "tool.finished")
        task = (await until(process, "text.delta"))["task"]
        process.send_signal(signal.SIGTERM)
        stopped = await ended(process)
        assert stopped.status == 128 + signal.SIGTERM
        assert f"autohands task resume {task}" in stopped.err
        script[1] = say("done now")
        resumed = await run("task", "resume", task, "--json", fake=fake, directory=workspace)
        again = await run("task", "resume", task, fake=fake, directory=workspace)
    assert (resumed.status, resumed.events[-1]["text"]) == (0, "done now")
    assert "run.started" not in {event["type"] for event in resumed.events}
    assert [seen.turn for seen in fake.requests] == [0, 1, 1]
    assert again.status == 1
    assert "is done" in again.err


async def test_a_session_goes_on_and_finishes_what_was_interrupted(home: Path, workspace: Path) -> None:
    script = [SLOWLY[0], say("second")]
    async with FakeVendors(script) as fake:
        process = await start("run", "first", "--session", "s1", "--model", OPENAI, "--json", fake=fake)
        await until(process, "text.delta")
        process.kill()
        await process.communicate()
        script[0] = say("first answer")
        done = await run("run", "more", "--session", "s1", "--model", OPENAI, fake=fake, directory=workspace)
        tasks = (await run("task", "list", "--session", "s1", "--json")).json["items"]
        session = (await run("session", "show", "s1", "--json")).json
    assert (done.status, done.out) == (0, "first answer\nsecond\n")
    assert [task["state"] for task in tasks] == ["done", "done"]
    assert [(task["prompt"], task["text"]) for task in session["tasks"]] == [
        ("first", "first answer"),
        ("more", "second"),
    ]


async def test_nobody_reads_standard_output_any_more(home: Path, workspace: Path) -> None:
    async with FakeVendors(SLOWLY) as fake:
        process = await start("run", "x", "--model", OPENAI, "--json", fake=fake, directory=workspace)
        await until(process, "run.started")
        assert process.stdout is not None
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        async with asyncio.timeout(20):
            assert process.stderr is not None
            said = await process.stderr.read()
            assert await process.wait() == 1
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said
