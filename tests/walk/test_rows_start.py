"""What keeps work from beginning: each is one line with the remedy, the right exit status, and no task."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from walk.hardship import powerless, run, said, small_disk

pytestmark = pytest.mark.slow

MODEL = ("--model", "openai/gpt-4o")
NOBODY = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory that may not be read."""
    path = tmp_path / "closed"
    path.mkdir()
    (path / "x").write_text("secret")
    path.chmod(0)
    yield path
    path.chmod(0o700)


def test_without_a_network_the_likely_cause_and_the_place_to_look_are_named(home: Path) -> None:
    refused = said(run(home, "provider", "test", "openai", env=NOBODY), 1)
    assert "127.0.0.1:1: no connection" in refused
    assert refused.endswith("check base_url, now http://127.0.0.1:1/v1")
    nowhere = {**NOBODY, "OPENAI_BASE_URL": "http://no-such-host.invalid/v1"}
    unknown = said(run(home, "provider", "models", "openai", env=nowhere), 1)
    assert "the name cannot be resolved; is there a network?" in unknown


def test_a_workspace_that_cannot_be_read_is_refused_before_there_is_a_task(home: Path, closed: Path) -> None:
    remedy = f"the workspace {closed} cannot be read: Permission denied; check its owner and permissions"
    named = run(home, "run", "x", *MODEL, "--workspace", str(closed), before=powerless(), env=NOBODY)
    elsewhere = {**NOBODY, "AUTOHANDS_WORKSPACE": str(closed)}
    configured = run(home, "chat", *MODEL, before=powerless(), env=elsewhere)
    assert remedy in said(named, 2)
    assert remedy in said(configured, 2)
    called = run(home, "tool", "call", "read_file", '{"path": "x"}', "--workspace", str(closed), before=powerless())
    assert said(called, 2).startswith(f"the workspace {closed} cannot be used: Permission denied")
    assert json.loads(run(home, "task", "list", "--json").stdout) == {"items": []}


def test_the_current_directory_may_be_one_that_cannot_be_read(home: Path, closed: Path) -> None:
    enter = (*powerless(), "sh", "-c", 'chmod 700 "$0" && cd "$0" && chmod 0 . && exec "$@"', str(closed))
    assert f"the workspace {closed} cannot be read" in said(run(home, "run", "x", *MODEL, before=enter, env=NOBODY), 2)
    assert run(home, "task", "list", before=enter).returncode == 0


def test_cr16_a_configuration_that_cannot_be_read_is_named(home: Path) -> None:
    config = home / "config.toml"
    config.touch(0)
    error = said(run(home, "run", "x", before=powerless()), 2)
    assert error == f"{config}: cannot be read: Permission denied; check its owner and permissions"
    assert run(home, "config", "path", before=powerless()).returncode == 0


def test_cr16_everything_wrong_is_told_at_once_and_nothing_is_applied(home: Path, workspace: Path) -> None:
    (home / "config.toml").write_text('modle = "a/b"\n[limits]\nturns = 1\nturns = 2\n')
    (home / "config.toml").chmod(0o600)
    assert ":4: limits.turns is set again; it is set in line 3 already" in said(run(home, "run", "x", env=NOBODY), 2)
    (home / "config.toml").write_text('modle = "a/b"\n[providers.acme]\napi_key = "${ACME_KEY}"\n')
    done = run(home, "run", "x", *MODEL, env=NOBODY)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 3)
    assert ":1: modle: unknown key; did you mean model?" in done.stderr
    assert ":3: providers.acme.api_key: ${ACME_KEY} is not set; set it, or write ${ACME_KEY:-default}" in done.stderr


def test_fs20_whatever_the_umask_the_state_is_its_owners_alone(tmp_path: Path, workspace: Path) -> None:
    home = tmp_path / "deep" / "home"
    done = run(home, "tool", "call", "write_file", '{"path": "a", "content": "x"}', cwd=workspace, umask=0, env=NOBODY)
    assert done.returncode == 0, done.stderr
    assert run(home, "config", "set", "limits.turns", "5", umask=0).returncode == 0
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (home, *home.rglob("*"))}
    assert {path.name for path in modes} >= {"home", "autohands.db", "config.toml"}
    assert {path: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
    assert stat.S_IMODE((workspace / "a").stat().st_mode) & 0o022 == 0


def test_fs20_state_that_others_may_write_stops_every_start(home: Path) -> None:
    home.chmod(0o777)
    assert said(run(home, "run", "x", *MODEL, env=NOBODY), 2).endswith(f"may write it (mode 0777): chmod go-w {home}")
    home.chmod(0o700)
    (home / "autohands.db").touch()
    (home / "autohands.db").chmod(0o666)
    assert said(run(home, "task", "list"), 2).endswith(f"chmod go-w {home / 'autohands.db'}")
    (home / "autohands.db").chmod(0o600)
    assert run(home, "task", "list").returncode == 0


def test_a_state_directory_that_cannot_be_used_is_named_with_the_remedy(home: Path, closed: Path) -> None:
    error = said(run(closed, "task", "list", before=powerless()), 2)
    assert error == f"{closed}: Permission denied; set AUTOHANDS_HOME to a directory of your own"
    home.chmod(0o500)
    assert "look at its owner, its mode and the disk" in said(run(home, "task", "list", before=powerless()), 1)
    home.chmod(0o700)


def test_the_doctor_reports_a_state_directory_that_cannot_be_read(closed: Path) -> None:
    done = run(closed, "doctor", "--json", before=powerless())
    wrong = {item["check"] for item in json.loads(done.stdout)["items"] if item["status"] == "wrong"}
    assert (done.returncode, done.stderr) == (1, "")
    assert wrong == {"home", "config", "storage"}


def test_fs14_a_full_disk_under_the_state_is_one_line_with_the_remedy(home: Path) -> None:
    before = small_disk(home, "64k")
    assert "the disk is full" in said(run(home, "task", "list", before=before), 1)
    error = said(run(home, "run", "x", *MODEL, before=before, env=NOBODY), 1)
    assert error.startswith(f"{home}/autohands.db: ")
    assert "free some space" in error
    done = run(home, "doctor", before=before)
    assert done.returncode == 1
    assert "free some space" in done.stdout


def test_fs14_a_full_disk_under_the_workspace_is_the_tools_answer(home: Path, workspace: Path) -> None:
    arguments = '{"path": "a", "content": "' + "x" * 100_000 + '"}'
    named = ("--workspace", str(workspace))
    done = run(home, "tool", "call", "write_file", arguments, *named, before=small_disk(workspace, "64k"))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "storage_full: a: the disk is full; free some space and try again\n"
