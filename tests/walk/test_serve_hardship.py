"""`autohands serve` under hardship: nobody reads what it says, its loop is blocked, its files are taken away."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import psutil
import pytest

from autohands.testing.script import ScriptedCall, Turn, call, calls

from .processes import AUTOHANDS, WAIT_SECONDS, autohands, environment, serving
from .serving import asked, eventually, server, state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HURRIED = (sys.executable, str(Path(__file__).parents[1] / "daemon" / "hurried.py"))
WORK = [call("exec", says="At it.", command="echo once >> sink.txt"), Turn(text="Done.")]
MANIFEST = 'name = "tools-bad"\nversion = "1.0.0"\nsummary = "Blocks."\nentry = "bad:extension"\n'
CODE = '''
"""A tool that blocks the event loop until a file is there."""

import os
import time

from autohands.sdk import Extension, ToolContext, tool


@tool(effect="read")
async def block(ctx: ToolContext) -> str:
    """Block."""
    while not os.path.exists(os.environ["UNBLOCK"]):
        time.sleep(0.05)
    return "at last"


extension = Extension(name="tools-bad", version="1.0.0", summary="Blocks.", tools=[block])
'''


def submit(prompt: str, env: dict[str, str], cwd: Path, *more: str) -> str:
    return str(asked("task", "submit", prompt, "--yes", "--model", "openai/fake", *more, env=env, cwd=cwd)["id"])


def install_bad_tool(home: Path, env: dict[str, str], cwd: Path) -> None:
    folder = home / "extensions" / "tools-bad"
    folder.mkdir(parents=True, mode=0o700)
    for name, text in (("extension.toml", MANIFEST), ("bad.py", CODE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    done = autohands("extension", "enable", "tools-bad", env=env, cwd=cwd)
    assert done.returncode == 0, done.stderr


def doctor(env: dict[str, str], cwd: Path) -> list[dict[str, str]]:
    """What `doctor` says about the program that serves."""
    done = autohands("doctor", "--json", env=env, cwd=cwd)
    return [each for each in json.loads(done.stdout)["items"] if each["check"] == "serve"]


# --- CR07: the loop is blocked ---------------------------------------------------------------------------------------


def test_cr07_a_blocked_loop_is_told_with_its_stacks_and_that_it_is_over(
    tmp_path: Path, home: Path, workspace: Path
) -> None:
    unblock, report = tmp_path / "unblock", home / "run" / "sentinel.json"
    with serving(tmp_path, [call("block"), Turn(text="Done.")]) as service:
        env = environment(home, service, UNBLOCK=str(unblock))
        install_bad_tool(home, env, workspace)
        with server(env, workspace, HURRIED) as running:
            assert [each["status"] for each in doctor(env, workspace)] == ["ok"]
            task = submit("Block", env, workspace)
            eventually(lambda: "the event loop or the database does not answer (for" in running.said())
            eventually(lambda: "the stacks of all threads are in" in running.said())
            stacks = (home / "run" / "stacks.txt").read_text()
            assert "bad.py" in stacks
            assert "in block" in stacks
            (finding,) = eventually(lambda: json.loads(report.read_text()))
            assert finding["kind"] == "loop"
            told = doctor(env, workspace)
            assert [each["status"] for each in told] == ["wrong"]
            assert "does not answer" in told[0]["message"]
            unblock.touch()
            eventually(lambda: "no longer: the event loop or the database does not answer" in running.said())
            eventually(lambda: json.loads(report.read_text()) == [])
            eventually(lambda: state(task, env, workspace) == "done")
            assert running.end() == 0
            assert not report.exists()
            assert "nobody serves" in doctor(env, workspace)[0]["message"]


def test_cr04_a_third_signal_ends_it_also_where_its_loop_is_blocked(
    tmp_path: Path, home: Path, workspace: Path
) -> None:
    with serving(tmp_path, [call("block"), Turn(text="Done.")]) as service:
        env = environment(home, service, UNBLOCK=str(tmp_path / "never"))
        install_bad_tool(home, env, workspace)
        with server(env, workspace, HURRIED) as running:
            task = submit("Block", env, workspace)
            eventually(lambda: "does not answer" in running.said())
            for _ in range(2):
                running.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)  # two at once are one
            assert running.process.poll() is None
            assert running.end() == 128 + signal.SIGTERM
            assert state(task, env, workspace) == "running"
            (tmp_path / "never").touch()
            running.restart()
            eventually(lambda: state(task, env, workspace) == "done")


# --- CR05: nobody reads, everybody signals ---------------------------------------------------------------------------


def start(env: dict[str, str], cwd: Path, errors: int) -> subprocess.Popen[bytes]:
    """One that is ready; nobody reads its standard error, and its standard output is closed now."""
    process = subprocess.Popen([AUTOHANDS, "serve"], env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout
    assert b"AutoHands serves" in process.stdout.readline()
    process.stdout.close()
    return process


def small_pipe() -> tuple[int, int]:
    """A pipe that takes a page, where the system lets us say so."""
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    return reading, writing


def unread(descriptor: int) -> int:
    """How many bytes a pipe holds."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def test_cr05_a_full_pipe_on_standard_error_holds_nothing_up(tmp_path: Path, home: Path, workspace: Path) -> None:
    reading, writing = small_pipe()
    (home / "config.toml").write_text("")
    with serving(tmp_path, WORK) as service:
        env = environment(home, service)
        process = start(env, workspace, writing)
        try:
            (home / "config.toml").write_text("".join(f"unknown_{number} = 1\n" for number in range(200)))

            def full() -> bool:
                os.kill(process.pid, signal.SIGHUP)  # each time it says what is wrong, at length
                return unread(reading) >= fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)

            eventually(full)
            (home / "config.toml").write_text("")
            task = submit("Do it", env, workspace)
            eventually(lambda: state(task, env, workspace) == "done")
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            os.close(writing)
            os.close(reading)


def test_cr05_closed_pipes_and_a_storm_of_signals_do_not_end_it(tmp_path: Path, home: Path, workspace: Path) -> None:
    reading, writing = os.pipe()
    with serving(tmp_path, WORK) as service:
        env = environment(home, service)
        process = start(env, workspace, writing)
        os.close(writing)
        os.close(reading)  # whatever it says now is an error
        try:
            task = submit("Do it", env, workspace)
            for _ in range(2000):
                for number in (signal.SIGCHLD, signal.SIGPIPE):
                    os.kill(process.pid, number)
            for _ in range(50):
                os.kill(process.pid, signal.SIGHUP)
            eventually(lambda: state(task, env, workspace) == "done")
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            process.kill()
            process.wait()


# --- the files it stands on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["autohands.db", "run/serve.lock", "."])
def test_it_ends_with_a_word_when_its_files_are_taken_away(home: Path, workspace: Path, what: str) -> None:
    env = environment(home)
    with server(env, workspace, HURRIED) as running:
        if what == ".":
            shutil.rmtree(home)
        else:
            (home / what).unlink()
        assert running.gone() == 1
        assert "is gone: nothing more can be kept, so this program ends" in running.said()
    assert what != "." or not (home / "run").exists()


# --- CR18 ------------------------------------------------------------------------------------------------------------


def test_cr18_two_hundred_commands_leave_no_zombie_no_descriptor_and_no_thread(
    tmp_path: Path, home: Path, workspace: Path
) -> None:
    tens = [  # no two alike: the same call again and again is a loop
        calls(*[ScriptedCall("exec", {"command": f"echo x >> sink.txt # {n}.{i}"}) for i in range(10)], says="Ten.")
        for n in range(20)
    ]
    with serving(tmp_path, [*tens[:2], Turn(text="Done."), *tens[2:], Turn(text="Done.")]) as service:
        env = environment(home, service)
        with server(env, workspace) as running:
            process = psutil.Process(running.process.pid)
            warm = submit("Warm up", env, workspace, "--session", "s")
            eventually(lambda: state(warm, env, workspace) == "done")
            before = process.num_fds(), process.num_threads()
            more = submit("Go on", env, workspace, "--session", "s")
            eventually(lambda: state(more, env, workspace) == "done")
            eventually(lambda: process.num_fds() <= before[0] + 2)
            assert process.num_threads() <= before[1] + 2
            left = [each for each in process.children(recursive=True) if each.status() == psutil.STATUS_ZOMBIE]
            assert left == []
    assert (workspace / "sink.txt").read_text() == "x\n" * 200
