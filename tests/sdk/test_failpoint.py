import os
import signal
import subprocess
import sys
import timeit

import pytest

from autohands.sdk.failpoint import EXIT_STATUS, VARIABLE, failpoint

PASSES = """
from autohands.sdk.failpoint import failpoint
for passage in range(1, 4):
    failpoint("a.b.c")
    failpoint("a.b")
    print(passage, flush=True)
"""


def passed(asked: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if asked:
        environment[VARIABLE] = asked
    return subprocess.Popen(
        [sys.executable, "-c", PASSES], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.parametrize(
    ("asked", "told", "status"),
    [
        ("", 3, 0),
        ("a", 3, 0),
        ("a.b", 0, -signal.SIGKILL),
        ("a.b:1", 0, -signal.SIGKILL),
        ("a.b:3:kill", 2, -signal.SIGKILL),
        ("a.b:4", 3, 0),
        ("a.b:2:exit", 1, EXIT_STATUS),
        ("a.b:2:raise", 1, 1),
        ("a.b::raise", 0, 1),
        ("*:3", 1, -signal.SIGKILL),
    ],
)
def test_cr01_a_failpoint_acts_at_the_passage_it_was_asked_for(asked: str, told: int, status: int) -> None:
    with passed(asked) as process:
        output, errors = process.communicate(timeout=20)
    assert output.split() == [str(passage) for passage in range(1, told + 1)]
    assert process.returncode == status, errors
    assert ("OSError: [Errno 5] failpoint a.b" in errors) == ("raise" in asked)


def test_cr01_a_failpoint_stops_the_process_so_that_it_can_go_on() -> None:
    with passed("a.b:2:hang") as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=20)
    assert output.split() == ["1", "2", "3"]


def test_cr01_all_failpoints_that_are_passed_can_be_listed() -> None:
    with passed("*:1:tell") as process:
        output, errors = process.communicate(timeout=20)
    assert output.split() == ["1", "2", "3"]
    assert errors.splitlines() == ["failpoint a.b.c", "failpoint a.b"] * 3


@pytest.mark.parametrize("asked", ["a.b:x", "a.b:1:explode"])
def test_what_makes_no_sense_is_refused(asked: str) -> None:
    with passed(asked) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "ValueError" in errors


def test_an_idle_failpoint_costs_less_than_reading_the_environment() -> None:
    idle = min(timeit.repeat(lambda: failpoint("a.b"), number=20_000, repeat=5))
    reading = min(timeit.repeat(lambda: os.environ.get(VARIABLE), number=20_000, repeat=5))
    assert idle < reading
