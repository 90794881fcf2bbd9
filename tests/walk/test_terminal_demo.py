"""`autohands demo` in a real process: the model is a replay and says so, the files are real."""

from pathlib import Path

import pytest

from cli.command import run

pytestmark = pytest.mark.slow


async def test_the_demo_makes_real_files_and_names_its_model_a_replay(home: Path, tmp_path: Path) -> None:
    done = await run("demo", TMPDIR=str(tmp_path))
    assert done.status == 0, done.err
    (place,) = tmp_path.glob("autohands-demo-*")
    first, *_, last = done.out.splitlines()
    assert "is a replay (replay/demo)" in first
    assert "replay" in last
    assert str(place / "workspace") in done.out
    assert str(place / "home") in done.out
    made = [line.split()[1] for line in done.out.splitlines() if line.startswith(("  made ", "  changed "))]
    assert made
    assert all((place / "workspace" / path).is_file() for path in made)
    assert (place / "home" / "autohands.db").exists()
    assert list(home.iterdir()) == []


async def test_the_demo_goes_through_queue_loop_and_journal(home: Path, tmp_path: Path) -> None:
    done = await run("demo", "--json", TMPDIR=str(tmp_path))
    types = [event["type"] for event in done.events]
    assert (done.status, types[0], types[-1]) == (0, "task.queued", "run.finished")
    assert done.events[-1]["reason"] == "done"
    assert {"tool.started", "tool.finished", "replied"} <= set(types)
    (place,) = tmp_path.glob("autohands-demo-*")
    listed = await run("task", "list", "--json", AUTOHANDS_HOME=str(place / "home"))
    assert [item["state"] for item in listed.json["items"]] == ["done"]
