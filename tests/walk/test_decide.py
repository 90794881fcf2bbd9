"""An effect killed in the middle, and a person who decides: it begins again as often as they say, never more."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autohands.testing.script import Turn, call, say
from autohands.testing.vendors import FakeVendors
from cli.command import environment as fake_environment
from cli.terminal import Terminal
from cli.terminal import autohands as in_terminal

from .processes import AUTOHANDS, Service, autohands, environment, lines, serving

pytestmark = pytest.mark.slow
ASK = '[policy]\non_unknown = "ask"\n'
SLOW = call("exec", command="echo begin >> sink.txt; sleep 30; echo end >> sink.txt")
MODEL = ("--model", "openai/gpt-4o")


class Killed:
    """A task whose program is killed again and again while its command runs."""

    def __init__(self, service: Service, home: Path, workspace: Path) -> None:
        self.env = environment(home, service)
        self.workspace = workspace
        self.sink = workspace / "sink.txt"
        self.id = ""

    def kill_during(self, *command: str) -> None:
        """Start a command that follows the task, and kill it as soon as the body has begun once more."""
        begun = self.begun
        process = subprocess.Popen(
            [AUTOHANDS, *command],
            env=self.env,
            cwd=self.workspace,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stderr
        for line in process.stdout:
            event = json.loads(line)
            self.id = event["task"]
            if event["type"] == "tool.started":
                break
        while self.begun == begun:
            assert process.poll() is None
        process.kill()
        process.communicate()

    @property
    def begun(self) -> int:
        """How often the body has begun, as the world outside the program sees it."""
        return self.sink.read_text().count("begin\n") if self.sink.exists() else 0

    def run(self, *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = autohands(*command, env=self.env, cwd=self.workspace)
        assert done.returncode == status, done
        return done

    def resume(self, status: int = 0) -> list[dict[str, Any]]:
        """Take the task up with nobody there; the events."""
        return lines(self.run("task", "resume", self.id, "--yes", "--json", status=status).stdout)

    def decide(self, *said: str) -> dict[str, Any]:
        """Decide; the task."""
        decided: dict[str, Any] = json.loads(self.run("task", "decide", self.id, *said, "--json").stdout)
        return decided

    def shown(self) -> dict[str, Any]:
        """`task show`."""
        shown: dict[str, Any] = json.loads(self.run("task", "show", self.id, "--json").stdout)
        return shown


def start(service: Service, home: Path, workspace: Path, config: str = ASK) -> Killed:
    """A run that was killed in the middle of its command."""
    (home / "config.toml").write_text(config)
    killed = Killed(service, home, workspace)
    killed.kill_during("run", "Do it", "--yes", "--json", "--model", "openai/fake")
    return killed


def test_cr02_asked_it_waits_tells_nobody_and_begins_once_for_each_retry(
    home: Path, workspace: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, [SLOW, say("Then it is done.")]) as service:
        task = start(service, home, workspace)
        for retries in range(2):
            for _ in range(2):  # as often as you like: it waits
                events = task.resume(status=4)
                assert events[-1]["type"] == "task.waiting"
                assert (events[-1]["reason"], events[-1]["waits"]) == ("decision", ["decision:1.1"])
                assert not [event for event in events if event["type"] == "tool.finished"]
            assert len(service.requests()) == 1, "the model was told something"
            assert task.begun == 1 + retries
            shown = task.shown()
            assert (shown["state"], shown["waits"]) == ("waiting", ["decision:1.1"])
            assert [(each["turn"], each["index"], each["attempt"]) for each in shown["decisions"]] == [
                (1, 1, 1 + retries)
            ]
            assert task.decide("retry")["state"] == "ready"
            task.kill_during("task", "resume", task.id, "--yes", "--json")
            assert task.begun == 2 + retries
        task.resume(status=4)
        task.decide("done", "--result", '"all of it"')
        events = task.resume()
        assert events[-1]["text"] == "Then it is done."
        assert "all of it" in json.dumps(service.requests()[-1]["body"])
        assert task.begun == 3, "once, and once more for each of two retries"
        refused = task.run("task", "decide", task.id, "skip", status=1)
        assert "is done" in refused.stderr


def test_cr02_told_the_model_decides_and_nobody_is_asked(home: Path, workspace: Path, tmp_path: Path) -> None:
    with serving(tmp_path, [SLOW, say("I will check first.")]) as service:
        task = start(service, home, workspace, config="")
        events = task.resume()
        assert [event["status"] for event in events if event["type"] == "tool.finished"] == ["unknown"]
        assert task.begun == 1


@pytest.mark.parametrize(("decision", "told"), [("skip", "owner says to go on without it"), ("cancel", None)])
def test_cr02_skip_and_cancel(decision: str, told: str | None, home: Path, workspace: Path, tmp_path: Path) -> None:
    with serving(tmp_path, [SLOW, say("Without it, then.")]) as service:
        task = start(service, home, workspace)
        task.resume(status=4)
        state = task.decide(decision, "--turn", "1", "--index", "1")["state"]
        if told is None:
            assert state == "cancelled"
            assert task.shown()["steps"][-1]["status"] == "unknown"
        else:
            assert task.resume()[-1]["text"] == "Without it, then."
            assert told in json.dumps(service.requests()[-1]["body"])
        assert task.begun == 1


def test_cr02_decided_before_anybody_looked_at_it_again(home: Path, workspace: Path, tmp_path: Path) -> None:
    with serving(tmp_path, [SLOW, say("Good.")]) as service:
        task = start(service, home, workspace, config="")
        task.decide("done")
        events = task.resume()
        assert "unknown" not in json.dumps(events)
        assert events[-1]["text"] == "Good."
        assert "says that it was done" in json.dumps(service.requests()[-1]["body"])


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        (("skip", "--result", "{}"), 2, "skip takes no result"),
        (("done", "--result", "{"), 2, "is no JSON"),
        (("done", "--result", '{"text": 1}'), 2, "--result: Expected `str`"),
        (("done", "--turn", "7"), 1, "is done"),
    ],
)
def test_cr02_a_wrong_decision_is_refused(
    said: tuple[str, ...], status: int, why: str, home: Path, workspace: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, [call("exec", command="true"), say("Good.")]) as service:
        env = environment(home, service)
        autohands("run", "Do it", "--yes", "--model", "openai/fake", env=env, cwd=workspace)
        listed = autohands("task", "list", "--json", env=env, cwd=workspace)
        task = json.loads(listed.stdout)["items"][0]["id"]
        done = autohands("task", "decide", task, *said, env=env, cwd=workspace)
        assert (done.returncode, why in done.stderr) == (status, True), done.stderr


@pytest.mark.parametrize(
    ("place", "asked"),
    [
        ("act.intended", False),
        ("act.begun", True),
        ("act.carried_out", True),
        ("run.parking", True),
        ("run.parked", True),
        ("decisions.decided", True),
    ],
)
def test_cr02_killed_at_each_step_of_it_the_body_begins_at_most_once_and_once_for_each_retry(
    place: str, home: Path, workspace: Path, tmp_path: Path, *, asked: bool
) -> None:
    quick = call("exec", command="echo begin >> sink.txt")
    with serving(tmp_path, [quick, say("Good.")]) as service:
        (home / "config.toml").write_text(ASK)
        task = Killed(service, home, workspace)
        first = "act.begun" if place in ("run.parking", "run.parked", "decisions.decided") else place
        run = ("run", "Do it", "--yes", "--json", "--model", "openai/fake")
        killed = autohands(*run, env=task.env | {"AUTOHANDS_FAILPOINT": first}, cwd=workspace)
        assert killed.returncode == -9, killed
        task.id = json.loads(killed.stdout.splitlines()[-1])["task"]
        dying = task.env | {"AUTOHANDS_FAILPOINT": place}
        if place.startswith("run."):
            assert autohands("task", "resume", task.id, "--yes", env=dying, cwd=workspace).returncode == -9
        if asked:
            task.resume(status=4)
            assert task.begun == (1 if place == "act.carried_out" else 0)
            if place == "decisions.decided":
                assert autohands("task", "decide", task.id, "retry", env=dying, cwd=workspace).returncode == -9
                task.resume(status=4)
            task.decide("retry")
        assert task.resume()[-1]["text"] == "Good."
        assert task.begun == (2 if place == "act.carried_out" else 1)


async def test_cr02_a_person_at_the_terminal_is_asked(home: Path, workspace: Path) -> None:
    quick = call("exec", command="echo begin >> sink.txt; test -e go || sleep 30; echo end >> sink.txt")

    def play(fake: FakeVendors) -> None:
        (home / "config.toml").write_text(ASK)
        env = fake_environment(fake)
        with Terminal(in_terminal("run", "do it", "--yes", *MODEL), env, workspace) as first:
            first.expect("exec")
            while not (workspace / "sink.txt").exists():
                assert first.process.poll() is None
            first.process.kill()
        (workspace / "go").touch()
        task = json.loads(
            subprocess.run(
                in_terminal("task", "list", "--json"),
                env=env,
                cwd=workspace,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )["items"][0]["id"]
        for story in (leave, retry):
            with Terminal(in_terminal("task", "resume", task), env, workspace) as person:
                story(person)

    await _with_fake([quick, say("Done at last.")], play)
    assert (workspace / "sink.txt").read_text() == "begin\nbegin\nend\n"


def leave(person: Terminal) -> None:
    """Not now."""
    assert "nobody knows how far it came" in person.expect("What is to become of it?")
    person.send("perhaps\n")
    person.expect("Please answer")
    person.expect("What is to become of it?")
    person.send("\n")
    person.expect("autohands task decide")
    assert person.wait() == 4


def retry(person: Terminal) -> None:
    """Once more."""
    person.expect("What is to become of it?")
    person.send("r\n")
    person.expect("Done at last.")
    assert person.wait() == 0


async def _with_fake(script: list[Turn], play: Callable[[FakeVendors], None]) -> None:
    async with FakeVendors(script) as fake:
        await asyncio.to_thread(play, fake)
    assert fake.problems == []
