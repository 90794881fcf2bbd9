"""`autohands serve`: takes up what others submit, ends in order, goes on after kill -9, one at a time."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from autohands.testing.script import Turn, call

from .processes import autohands, environment, serving
from .serving import asked, eventually, reload, server, state

pytestmark = pytest.mark.slow

WORK = [call("exec", says="At it.", command="echo once >> sink.txt"), Turn(text="Done.")]


def submit(prompt: str, env: dict[str, str], cwd: Path, *arguments: str) -> str:
    return str(asked("task", "submit", prompt, "--yes", "--model", "openai/fake", *arguments, env=env, cwd=cwd)["id"])


def test_what_another_program_submits_is_done(tmp_path: Path, home: Path, workspace: Path) -> None:
    with serving(tmp_path, WORK) as service:
        env = environment(home, service)
        early = submit("Before it serves", env, workspace)
        with server(env, workspace) as running:
            late = submit("While it serves", env, workspace)
            eventually(lambda: [state(task, env, workspace) for task in (early, late)] == ["done", "done"])
            assert running.end() == 0
    assert (workspace / "sink.txt").read_text() == "once\nonce\n"


def test_background_work_is_done_when_there_is_no_other(tmp_path: Path, home: Path, workspace: Path) -> None:
    with serving(tmp_path, WORK) as service:
        env = environment(home, service)
        back = submit("Some day", env, workspace, "--background")
        front = submit("Now", env, workspace)
        with server(env, workspace):
            eventually(lambda: state(back, env, workspace) == "done")
            shown = {each["id"]: each["ended"] for each in asked("task", "list", env=env, cwd=workspace)["items"]}
    assert shown[front] <= shown[back]


def test_cr06_a_second_one_says_who_serves(tmp_path: Path, home: Path, workspace: Path) -> None:
    env = environment(home)
    with server(env, workspace) as running:
        second = autohands("serve", env=env, cwd=workspace)
        assert second.returncode != 0
        assert str(running.process.pid) in second.stderr
        running.kill()  # its lock goes with it, whatever the file says
        running.restart()
        assert running.end() == 0


def test_cr04_sigterm_interrupts_what_does_not_end_in_time(tmp_path: Path, home: Path, workspace: Path) -> None:
    slow = [call("exec", says="Slowly.", command="echo begin >> sink.txt; sleep 60; echo end >> sink.txt"), WORK[1]]
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text("[limits]\ndrain_seconds = 0.5\n")
    with serving(tmp_path, slow) as service:
        env = environment(home, service)
        task = submit("Something long", env, workspace)
        with server(env, workspace) as running:
            eventually((workspace / "sink.txt").exists)
            assert running.end() == 0
            assert state(task, env, workspace) == "ready"
            running.restart()
            eventually(lambda: state(task, env, workspace) == "done")
    assert (workspace / "sink.txt").read_text() == "begin\n"  # not begun again: its outcome is unknown
    assert "unknown" in autohands("task", "show", task, env=env, cwd=workspace).stdout


def test_cr04_a_second_signal_does_not_wait(tmp_path: Path, home: Path, workspace: Path) -> None:
    slow = [call("exec", says="Slowly.", command="echo begin >> sink.txt; sleep 60"), WORK[1]]
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text("[limits]\ndrain_seconds = 3600\n")
    with serving(tmp_path, slow) as service:
        env = environment(home, service)
        submit("Something long", env, workspace)
        with server(env, workspace) as running:
            eventually((workspace / "sink.txt").exists)
            running.process.send_signal(signal.SIGTERM)
            eventually(lambda: "ending" in running.said())
            assert running.end() == 0


def test_a_killed_one_goes_on_and_takes_up_what_a_killed_run_left(tmp_path: Path, home: Path, workspace: Path) -> None:
    slow = [call("exec", says="Slowly.", command="echo begin >> sink.txt; sleep 30"), WORK[1]]
    with serving(tmp_path, slow) as service:
        env = environment(home, service)
        task = submit("Something long", env, workspace)
        with server(env, workspace) as running:
            eventually((workspace / "sink.txt").exists)
            running.kill()
            running.restart()
            eventually(lambda: state(task, env, workspace) == "done")
            (again,) = eventually(lambda: running.told("task.began", task=task, attempt=2))
            assert again["text"] == f"task {task} goes on (cli)"
            assert running.told("task.ended", task=task)[0]["reason"] == "done"


def test_sighup_reads_the_configuration_anew_and_keeps_the_old_one_where_the_new_is_wrong(
    home: Path, workspace: Path
) -> None:
    env = environment(home)
    with server(env, workspace) as running:
        config = home / "config.toml"
        config.write_text('[schedules.daily]\ncron = "0 7 * * *"\nprompt = "Look"\n')
        reload(running)

        def names() -> list[str]:
            return [each["name"] for each in asked("schedule", "list", env=env, cwd=workspace)["items"]]

        eventually(lambda: names() == ["daily"])
        config.write_text('[schedules.daily]\ncron = "61 7 * * *"\nprompt = "Look"\n')
        reload(running)
        eventually(lambda: "stays" in running.said())
        assert names() == ["daily"]
        config.write_text("")
        reload(running)
        eventually(lambda: names() == [])
        assert running.process.poll() is None


def test_an_occurrence_outlives_a_kill(tmp_path: Path, home: Path, workspace: Path) -> None:
    with serving(tmp_path, WORK) as service:
        env = environment(home, service)
        with server(env, workspace) as running:
            added = ["schedule", "add", "soon", "--every", "3s", "--model", "openai/fake", "--yes", "--prompt", "Do it"]
            assert autohands(*added, env=env, cwd=workspace).returncode == 0
            running.kill()
            running.restart()

            def done() -> list[dict[str, object]]:
                items = asked("schedule", "history", "soon", env=env, cwd=workspace)["items"]
                return [each for each in items if each["state"] == "fired" and each["task_state"] == "done"]

            assert eventually(done)
            assert asked("schedule", "show", "soon", env=env, cwd=workspace)["state"] == "active"
            assert running.told("schedule", schedule="soon", state="fired")


def test_a_question_is_answered_while_nobody_serves(tmp_path: Path, home: Path, workspace: Path) -> None:
    with serving(tmp_path, WORK) as service:
        env = environment(home, service)
        with server(env, workspace) as running:
            task = asked("task", "submit", "Ask me", "--model", "openai/fake", env=env, cwd=workspace)["id"]
            (waiting,) = eventually(lambda: running.told("task.waiting", task=task))
            (question,) = asked("approval", "list", env=env, cwd=workspace)["items"]
            assert waiting["text"].endswith(f"waits for an answer: autohands approval allow {question['id']}")
            running.kill()
            asked("approval", "allow", question["id"], env=env, cwd=workspace)
            assert not (workspace / "sink.txt").exists()
            running.restart()
            eventually(lambda: state(task, env, workspace) == "done")
    assert (workspace / "sink.txt").read_text() == "once\n"
