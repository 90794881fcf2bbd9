"""kill -9 in the middle of a run, then on: nothing is asked twice but the one in flight, nothing happens twice."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from autohands.testing.script import Turn, call

from .processes import AUTOHANDS, Service, autohands, environment, lines, serving

pytestmark = pytest.mark.slow
TURNS = 6
SLOW = "echo begin >> sink.txt; sleep 30; echo end >> sink.txt"


def steps() -> list[Turn]:
    """Six turns with a read and an effect each, and an answer."""
    turns = [call("exec", says=f"Step {n}.", command=f"echo {n} >> sink.txt") for n in range(TURNS)]
    return [*turns, Turn(text="All six are done.")]


def start(service: Service, home: Path, workspace: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a run that tells its events."""
    command = [
        AUTOHANDS,
        "run",
        "Do six steps",
        "--yes",
        "--json",
        "--session",
        "s1",
        "--model",
        "openai/fake",
        *arguments,
    ]
    return subprocess.Popen(
        command,
        env=environment(home, service),
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_at(process: subprocess.Popen[str], kind: str, number: int) -> dict[str, Any]:
    """Read events until the `number`-th of a kind, and kill the process right then."""
    assert process.stdout
    assert process.stderr
    seen, event = 0, dict[str, Any]()
    for line in process.stdout:
        event = json.loads(line)
        seen += event["type"] == kind
        if seen == number:
            process.kill()
            break
    process.wait()
    process.stdout.close()
    process.stderr.close()
    assert seen == number
    return event


def check_requests(service: Service) -> None:
    """Each request was made once, but for the one that was in flight."""
    bodies = Counter(json.dumps(request["body"], sort_keys=True) for request in service.requests())
    assert [count for count in bodies.values() if count > 1] in ([], [2])


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("turn.started", 1),
        ("text.delta", 3),
        ("replied", 2),
        ("tool.started", 3),
        ("tool.finished", 4),
        ("budget.settled", 5),
    ],
)
@pytest.mark.parametrize("again", ["task resume", "run --session"])
def test_cr02_a_killed_run_goes_on(
    kind: str, number: int, again: str, home: Path, workspace: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, steps()) as service:
        task = kill_at(start(service, home, workspace), kind, number)["task"]
        env = environment(home, service)
        if again == "task resume":
            result = autohands("task", "resume", task, "--json", "--yes", env=env, cwd=workspace)
        else:
            arguments = ("run", "And now?", "--session", "s1", "--yes", "--json", "--model", "openai/fake")
            result = autohands(*arguments, env=env, cwd=workspace)
        events = lines(result.stdout)
        ends = [event for event in events if event["type"] == "run.finished" and event["task"] == task]
        assert [end["reason"] for end in ends] == ["done"], result.stderr
        assert ends[0]["text"] == "All six are done."
        check_requests(service)
    unknown = [event for event in events if event.get("status") == "unknown"]
    written = (workspace / "sink.txt").read_text().split()
    assert len(written) == len(set(written)), "an effect happened twice"
    assert len(written) + len(unknown) >= TURNS
    assert sorted(written) == written


def test_cr02_an_effect_in_flight_is_reported_as_unknown_and_not_repeated(
    home: Path, workspace: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, [call("exec", command=SLOW), Turn(text="I will check first.")]) as service:
        process = start(service, home, workspace)
        task = wait_for_sink_and_kill(process, workspace)
        result = autohands("task", "resume", task, "--json", "--yes", env=environment(home, service), cwd=workspace)
        events = lines(result.stdout)
        assert result.returncode == 0, result.stderr
        unknown = next(event for event in events if event["type"] == "tool.finished")
        assert unknown["status"] == "unknown"
        assert "outcome_unknown" in unknown["result"]["text"]
        assert "outcome_unknown" in json.dumps(service.requests()[-1]["body"])
    assert (workspace / "sink.txt").read_text() == "begin\n"


def wait_for_sink_and_kill(process: subprocess.Popen[str], workspace: Path) -> str:
    """Kill the run as soon as the command has begun to act."""
    assert process.stdout
    assert process.stderr
    task = ""
    for line in process.stdout:
        event = json.loads(line)
        task = event["task"]
        if event["type"] == "tool.started":
            while not (workspace / "sink.txt").exists():
                assert process.poll() is None
            process.kill()
            break
    process.wait()
    process.stdout.close()
    process.stderr.close()
    return str(task)


def test_a_task_that_runs_elsewhere_is_not_taken_over(home: Path, workspace: Path, tmp_path: Path) -> None:
    with serving(tmp_path, [call("exec", command="echo x > sink.txt; sleep 20"), Turn(text="Done.")]) as service:
        process = start(service, home, workspace)
        assert process.stdout
        assert process.stderr
        task = json.loads(process.stdout.readline())["task"]
        while not (workspace / "sink.txt").exists():
            assert process.poll() is None
        env = environment(home, service)
        refused = autohands("task", "resume", task, "--json", env=env, cwd=workspace)
        assert refused.returncode == 1
        assert "is running" in json.loads(refused.stderr)["error"]["message"]
        cancelled = autohands("task", "cancel", task, env=env, cwd=workspace)
        assert cancelled.returncode == 0, cancelled.stderr
        last = process.stdout.read().splitlines()[-1]
        assert json.loads(last)["reason"] == "cancelled"
        assert process.wait(20) == 130
        process.stdout.close()
        process.stderr.close()
