"""Copies, damage and disks as people meet them: `backup`, `restore`, `doctor --fix`, and what every start says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from walk.hardship import powerless, run, said, small_disk

pytestmark = pytest.mark.slow

NOBODY = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
LIVING = (
    "import asyncio, pathlib, sys\nfrom autohands import storage\n"
    "async def main():\n    async with storage.open(pathlib.Path(sys.argv[1])):\n"
    "        print('open', flush=True)\n        await asyncio.to_thread(sys.stdin.read)\n"
    "asyncio.run(main())"
)
SUBMIT = (
    "import asyncio, os, pathlib, sys\nfrom autohands import storage\n"
    "from autohands.protocols.changes import Enqueue\nfrom autohands.protocols.task import Task\n"
    "async def main():\n    async with storage.open(pathlib.Path(sys.argv[1])) as store:\n"
    "        for _ in range(int(sys.argv[2])): await store.commit(Enqueue(task=Task(prompt='go')))\n"
    "        if len(sys.argv) > 3: os._exit(0)\n"
    "asyncio.run(main())"
)


def submit(home: Path, tasks: int, *killed: str) -> None:
    """A program that accepts tasks, and with `killed` dies without closing the database."""
    command = [sys.executable, "-c", SUBMIT, str(home / "autohands.db"), str(tasks), *killed]
    subprocess.run(command, check=True, timeout=30)


def tasks(home: Path) -> list[str]:
    done = run(home, "task", "list", "--json", "--limit", "1000")
    assert done.returncode == 0, done.stderr
    return [item["state"] for item in json.loads(done.stdout)["items"]]


def findings(home: Path, *options: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = run(home, "doctor", "--json", *options)
    return done.returncode, {item["check"]: item for item in json.loads(done.stdout)["items"]}


def test_cr14_a_copy_is_made_beside_a_living_program_and_restored_elsewhere(home: Path, tmp_path: Path) -> None:
    submit(home, 3)
    copy, there = tmp_path / "copy.db", tmp_path / "there"
    command = [sys.executable, "-c", LIVING, str(home / "autohands.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout
        assert living.stdout.readline() == "open\n"
        made = run(home, "backup", str(copy), "--json")
        assert (made.returncode, json.loads(made.stdout)["tasks"]) == (0, 3)
        assert "is in use" in said(run(home, "restore", str(copy)), 1)
        living.communicate()
    assert "exists already" in said(run(home, "backup", str(copy)), 1)
    restored = run(there, "restore", str(copy))
    assert (restored.returncode, restored.stderr) == (0, "")
    assert "3 unfinished tasks are paused" in restored.stdout
    assert tasks(there) == ["paused"] * 3
    assert tasks(home) == ["ready"] * 3
    again = run(home, "restore", str(copy), "--json")
    assert json.loads(again.stdout)["commits"] == 0
    assert tasks(home) == ["ready"] * 3


def test_cr14_what_is_no_copy_is_refused_in_one_line(home: Path, tmp_path: Path) -> None:
    submit(home, 1)
    (tmp_path / "text").write_text("no database")
    assert "not a database" in said(run(home, "restore", str(tmp_path / "text")), 1)
    assert "is no file" in said(run(home, "restore", str(tmp_path / "nothing")), 2)
    assert tasks(home) == ["ready"]


def test_cr08_a_removed_log_is_said_once_in_numbers_and_unfinished_tasks_rest(home: Path) -> None:
    submit(home, 2)
    assert run(home, "backup").returncode == 0
    submit(home, 3, "killed")
    (home / "autohands.db-wal").unlink()
    first = run(home, "task", "list", "--json")
    assert "3 commits are lost, with them 3 tasks; 2 unfinished tasks are paused" in first.stderr
    assert first.stderr.count("\n") == 1
    second = run(home, "task", "list", "--json")
    assert (second.stderr, tasks(home)) == ("", ["paused"] * 2)
    status, found = findings(home)
    assert status == 0
    assert "put aside" in found["damaged"]["message"]


def test_cr08_the_doctor_finds_damage_and_mends_it(home: Path) -> None:
    submit(home, 30)
    assert "there is no copy" in findings(home)[1]["backups"]["message"]
    assert run(home, "backup").returncode == 0
    assert run(home, "backup", "--list").stdout.count("good") == 1
    status, found = findings(home)
    assert (status, found["storage"]["status"], found["backups"]["status"]) == (0, "ok", "ok")
    with (home / "autohands.db").open("rb+") as file:
        file.seek(4096 * 30)
        file.write(b"\xff" * 4096 * 20)
    status, found = findings(home)
    assert (status, found["storage"]["status"]) == (1, "wrong")
    assert "doctor --fix" in found["storage"]["remedy"]
    status, found = findings(home, "--fix")
    assert (status, found["storage"]["status"]) == (0, "ok")
    assert "0 commits are lost" in found["fix"]["message"]
    assert tasks(home) == ["ready"] * 30
    assert "nothing to mend" in findings(home, "--fix")[1]["fix"]["message"]


def test_cr08_without_a_copy_every_start_names_the_remedy_and_the_doctor_begins_anew(home: Path) -> None:
    submit(home, 2)
    (home / "autohands.db").write_bytes(b"no database" * 1000)
    for arguments in (("task", "list"), ("run", "x", "--model", "openai/gpt-4o")):
        error = said(run(home, *arguments, env=NOBODY), 1)
        assert "there is no good copy" in error
        assert error.endswith("`autohands doctor --fix` moves it to damaged/ and begins anew")
    status, found = findings(home, "--fix")
    assert (status, found["storage"]["status"]) == (0, "ok")
    assert tasks(home) == []
    (aside,) = (home / "damaged").iterdir()
    assert (aside / "autohands.db").read_bytes() == b"no database" * 1000


def test_cr08_a_directory_that_cannot_be_written_can_be_looked_at(home: Path, tmp_path: Path) -> None:
    submit(home, 2)
    home.chmod(0o500)
    try:
        looked = run(home, "task", "list", "--json", before=powerless())
        assert (looked.returncode, len(json.loads(looked.stdout)["items"])) == (0, 2), looked.stderr
        refused = run(home, "run", "x", "--model", "openai/gpt-4o", before=powerless(), env=NOBODY)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "can only be looked at; look at its owner, its mode and the mount" in refused.stderr.splitlines()[-1]
    finally:
        home.chmod(0o700)
    assert tasks(home) == ["ready"] * 2


def test_cr10_on_a_disk_of_a_megabyte_that_is_full_the_doctor_says_so(home: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir(mode=0o700)
    submit(made, 5)
    filled = f'cp {made}/autohands.db {made}/mark "$0"; head -c 2m /dev/zero >"$0/ballast" 2>&-; exec "$@"'
    before = (*small_disk(home, "1m"), "sh", "-c", filled, str(home))
    looked = run(home, "task", "list", before=before)
    assert looked.returncode == 0 or "free some space" in said(looked, 1)
    done = run(home, "doctor", before=before)
    assert done.returncode == 1
    assert "free some space" in done.stdout
