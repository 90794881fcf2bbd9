"""Programs that tell each other things, in real processes: subscribers, middleware, requests, and kill -9 between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from .processes import AUTOHANDS, WAIT_SECONDS, autohands, environment, lines

pytestmark = pytest.mark.slow

CLERK = """
import asyncio, os, signal, sys
from contextlib import aclosing
import autohands

async def main() -> None:
    async with autohands.open(serve=False) as hands:
        async with aclosing(hands.tasks.subscribe("clerk", "ask.*")) as questions:
            async for question in questions:
                if "die" in sys.argv:
                    os.kill(os.getpid(), signal.SIGKILL)
                answer = {"twice": question.payload["n"] * 2}
                print(await hands.tasks.reply(question, answer), flush=True)

asyncio.run(main())
"""
EDIT = """
from msgspec.structs import replace
from autohands.protocols.errors import Conflict
from autohands.protocols.loop import Middleware

async def edit(change, onward):
    if "secret" in change.payload:
        raise Conflict("this stays here")
    if "break" in change.payload:
        raise ValueError("broken")
    return await onward(replace(change, payload={**change.payload, "seen": True}))

editor = Middleware(name="editor", publish=edit)
"""
EMBEDDED = f"""
import asyncio, json, sys
import autohands
from autohands.protocols.errors import AutoHandsError
from autohands.runloop.queue import TaskQueue
{EDIT}
async def main() -> None:
    async with autohands.open(serve=False) as hands:
        queue = TaskQueue(hands.storage, lambda: [editor])
        for payload in json.loads(sys.argv[1]):
            try:
                print((await queue.publish("news.today", payload)).seq)
            except AutoHandsError as error:
                print(error.text)

asyncio.run(main())
"""
FOLDER = f"""
from autohands.sdk import Extension
{EDIT}
extension = Extension(name="editor", version="1.0", summary="Edits what is published.")

@extension.setup
async def run(host, config):
    host.add_middleware(editor)
    yield
"""


def run(home: Path, *arguments: str, status: int = 0) -> str:
    """Run `autohands topic`; its output, or what it says on standard error where it fails."""
    done = autohands("topic", *arguments, env=environment(home), cwd=home)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def read(home: Path, name: str, pattern: str, count: int) -> list[Any]:
    """The next payloads of a subscription; they do not come again."""
    told = lines(run(home, "subscribe", pattern, "--name", name, "--count", str(count), "--timeout", "20"))
    return [each["payload"] for each in told]


@contextmanager
def program(home: Path, *command: str, failpoint: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process whose output is read line by line; killed at the end."""
    env = environment(home, AUTOHANDS_FAILPOINT=failpoint)
    process = subprocess.Popen(command, env=env, cwd=home, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)
        if process.stdout:
            process.stdout.close()


def taken(process: subprocess.Popen[str]) -> Iterator[int]:
    """The numbers that a subscriber prints."""
    assert process.stdout
    return (json.loads(line)["payload"]["n"] for line in process.stdout)


def test_cr01_a_subscriber_that_is_killed_loses_nothing(home: Path) -> None:
    command = (AUTOHANDS, "topic", "subscribe", "build.**", "--name", "ci")
    run(home, "subscribe", "build.**", "--name", "ci", "--count", "0")
    for number in range(4):
        run(home, "publish", f"build.n{number}", json.dumps({"n": number}))
    with program(home, *command, failpoint="queue.consume:3") as process:
        assert list(taken(process)) == [0, 1, 2]  # the third was received, and not yet dealt with
        assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
    with program(home, *command, failpoint="queue.consumed:1") as process:
        assert list(taken(process)) == [2]  # it comes again, and is dealt with
        assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
    with program(home, *command, "--count", "2") as process:
        numbers = taken(process)
        assert next(numbers) == 3
        run(home, "publish", "build.later", '{"n": 4}')  # by another process, while this one waits
        assert list(numbers) == [4]
        assert process.wait(WAIT_SECONDS) == 0
    assert json.loads(run(home, "list", "--json"))["items"][0]["unread"] == 0


def test_a_subscriber_killed_at_any_time_gets_everything_in_order(home: Path) -> None:
    total, got, ends = 60, list[int](), (7, 20, 41, 59)
    run(home, "subscribe", "t", "--name", "s", "--count", "0")
    publisher = f"""
import asyncio, autohands
async def main():
    async with autohands.open(serve=False) as hands:
        for n in range({total}):
            await hands.tasks.publish("t", {{"n": n}}, key=f"t{{n}}")
asyncio.run(main())
"""
    with program(home, sys.executable, "-c", publisher) as telling:
        for end in ends:
            with program(home, AUTOHANDS, "topic", "subscribe", "t", "--name", "s") as process:
                for number in taken(process):
                    got.append(number)
                    if number >= end:
                        process.kill()  # what it has printed until then is still read
        assert telling.wait(WAIT_SECONDS) == 0
    assert sorted(set(got)) == list(range(total))
    assert all(later in (earlier, earlier + 1) for earlier, later in pairwise(got)), got


def test_middleware_of_a_program_rewrites_refuses_and_is_named_when_it_breaks(home: Path) -> None:
    run(home, "subscribe", "news.*", "--name", "reader", "--count", "0")
    payloads = [{"n": 1}, {"secret": 1}, {"break": 1}, {"n": 2}]
    with program(home, sys.executable, "-c", EMBEDDED, json.dumps(payloads)) as process:
        assert process.stdout
        said = process.stdout.read().splitlines()
    assert (said[0].isdigit(), said[1], said[3].isdigit()) == (True, "this stays here", True)
    assert said[2].startswith("the middleware 'editor' crashed: ValueError: broken")
    run(home, "publish", "news.today", '{"secret": 3}')  # no middleware in this process
    assert read(home, "reader", "news.*", 3) == [{"n": 1, "seen": True}, {"n": 2, "seen": True}, {"secret": 3}]


def test_middleware_of_an_extension_stands_around_what_is_published_until_it_is_disabled(home: Path) -> None:
    folder = home / "extensions" / "editor"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "extension.toml").write_text('name = "editor"\nversion = "1.0"\nentry = "editor:extension"\n')
    (folder / "editor.py").write_text(FOLDER)
    for path in (folder.parent, *folder.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
    run(home, "subscribe", "news.*", "--name", "reader", "--count", "0")
    switch = ("extension", "enable", "editor")
    assert autohands(*switch, env=environment(home), cwd=home).returncode == 0
    run(home, "publish", "news.today", '{"n": 1}')
    assert "this stays here" in run(home, "publish", "news.today", '{"secret": 1}', status=1)
    assert "'editor' crashed: ValueError" in run(home, "publish", "news.today", '{"break": 1}', status=1)
    assert "this stays here" in run(home, "request", "news.today", '{"secret": 1}', status=1)
    assert autohands("extension", "disable", "editor", env=environment(home), cwd=home).returncode == 0
    run(home, "publish", "news.today", '{"secret": 2}')
    assert read(home, "reader", "news.*", 2) == [{"n": 1, "seen": True}, {"secret": 2}]


def test_a_request_gets_its_answer_or_a_timeout_across_restarts(home: Path) -> None:
    run(home, "subscribe", "ask.*", "--name", "clerk", "--count", "0")
    ask = ("request", "ask.double", '{"n": 21}', "--key", "order-1", "--json")
    error = json.loads(run(home, *ask, "--timeout", "0.3", status=1))["error"]
    assert error["type"] == "RetryableError"
    assert "nobody has answered ask.double within 0.3 s" in error["message"]
    with program(home, sys.executable, "-c", CLERK, "die") as clerk:
        assert clerk.wait(WAIT_SECONDS) == -signal.SIGKILL  # it had the question in its hands
    with program(home, sys.executable, "-c", CLERK) as clerk:
        assert clerk.stdout
        assert clerk.stdout.readline() == "True\n"
        assert json.loads(run(home, *ask, "--timeout", "20")) == {"twice": 42}
        assert json.loads(run(home, "request", "ask.double", '{"n": 4}', "--timeout", "20", "--json")) == {"twice": 8}
    assert json.loads(run(home, *ask, "--timeout", "20")) == {"twice": 42}  # nobody is there: it is the kept answer
    assert [each["name"] for each in json.loads(run(home, "list", "--json"))["items"]] == ["clerk"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("publish", "a b", "{}"), "is no topic"),
        (("publish", "a", "[]"), "not a JSON object"),
        (("publish", "a", "{"), "not a JSON object"),
        (("subscribe", "a*", "--name", "s"), "is no pattern"),
        (("subscribe", "a", "--name", "s s"), "cannot be a subscription's name"),
        (("subscribe", "a"), "--name"),
        (("unsubscribe", "nobody"), "there is no subscription 'nobody'"),
        (("request", "a", "{}", "--timeout", "nan"), "is no number of seconds"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(home: Path, arguments: tuple[str, ...], problem: str) -> None:
    assert problem in run(home, *arguments, status=2)


def test_what_is_read_and_ended_is_gone(home: Path) -> None:
    assert "nobody subscribes" in autohands("topic", "list", env=environment(home), cwd=home).stderr
    run(home, "subscribe", "a", "--name", "s", "--count", "0")
    first = json.loads(run(home, "publish", "a", '{"n": 1}', "--key", "k", "--json"))
    assert json.loads(run(home, "publish", "a", '{"n": 1}', "--key", "k", "--json")) == first
    assert "0 of 1" not in run(home, "subscribe", "a", "--name", "s", "--count", "1")
    assert "0 of 1 came" in run(home, "subscribe", "a", "--name", "s", "--count", "1", "--timeout", "0.1", status=1)
    assert run(home, "unsubscribe", "s") == "s: ended\n"
    assert json.loads(run(home, "list", "--json")) == {"items": []}
