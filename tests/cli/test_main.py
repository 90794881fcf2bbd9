"""The command line from outside: help, errors with the nearest name, streams that are closed, bad input."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.terminal import autohands

PATIENCE_SECONDS = 30


def run(
    *arguments: str, data: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run(
        autohands(*arguments), input=data, capture_output=True, timeout=PATIENCE_SECONDS, env=environment
    )


def test_version_and_help_name_every_command(home: Path) -> None:
    from autohands import __version__
    from autohands.cli.main import COMMANDS

    assert run("--version").stdout == f"autohands {__version__}\n".encode()
    listed = run("--help").stdout.decode()
    assert all(f"  {name} " in listed for name in COMMANDS)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rum",), "Did you mean 'run'?"),
        (("task", "shwo"), "Did you mean 'show'?"),
        (("run", "--modle", "x", "hello"), "Did you mean '--model'?"),
        (("run",), "Missing argument 'PROMPT'"),
        (("run", "hello", "--max-turns", "0"), "0 is not in the range"),
        (("run", "hello", "--budget", "nan"), "nan is no amount"),
        (("run", "hello", "--budget", "-1"), "is no amount"),
        (("run", "hello", "--workspace", "/nonexistent"), "/nonexistent"),
        (("run", "hello", "--session", "a b"), "a session's name"),
        (("completion", "tcsh"), "'tcsh' is not one of"),
        (("extension", "info", "tools-fielsystem"), "did you mean tools-filesystem?"),
        (("config", "set", "limits.tuns", "5"), "did you mean turns?"),
        (("config", "show", "--config", "/nonexistent.toml"), "/nonexistent.toml"),
        (("session", "delete"), "--older-than"),
        (("session", "delete", "--older-than", "9 days"), "90d"),
    ],
)
def test_usage_errors_are_one_line_with_the_remedy_and_exit_2(
    home: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
    assert done.stderr.decode().strip().count("\n") == 0
    assert done.stderr.startswith(b"error: ")


def test_errors_are_objects_with_json(home: Path) -> None:
    done = run("task", "shwo", "--json")
    assert (done.returncode, done.stdout) == (2, b"")
    error = json.loads(done.stderr)["error"]
    assert (error["type"], error["hint"]) == ("BadRequest", "see `autohands task --help`")
    assert "Did you mean 'show'?" in error["message"]


def test_a_group_without_a_command_shows_its_help(home: Path) -> None:
    done = run("task")
    assert done.returncode == 2
    assert b"resume" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_complete_commands(home: Path, shell: str) -> None:
    script = run("completion", shell).stdout.decode()
    assert "_AUTOHANDS_COMPLETE" in script
    assert json.loads(run("completion", shell, "--json").stdout)["script"].strip() == script.strip()


def test_completion_offers_commands_and_options(home: Path) -> None:
    def offered(words: str, at: int) -> list[str]:
        asked = {**os.environ, "_AUTOHANDS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        done = subprocess.run(autohands(), env=asked, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        return [line.partition(",")[2] for line in done.stdout.split()]

    assert offered("autohands ses", 1) == ["session"]
    assert {"list", "show", "delete"} <= set(offered("autohands session ", 2))
    assert "--max-turns" in offered("autohands run --max", 2)


def test_a_closed_standard_output_is_no_traceback(home: Path) -> None:
    shell = f"{sys.executable} -m autohands config show | head -c 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=PATIENCE_SECONDS)
    assert (len(done.stdout), done.stderr) == (1, b"")


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_filled_before_anything_opens(home: Path, closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"exec {sys.executable} -m autohands task list {closed}"],
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    database = (home / "autohands.db").read_bytes()
    assert database.startswith(b"SQLite format 3\0")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_an_error(home: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            autohands("config", "path"), stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE_SECONDS
        )
    assert done.returncode == 1
    assert b"No space left on device; free some disk space" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_prompt_that_is_no_utf8_is_refused_with_its_place(home: Path) -> None:
    done = run("run", "-", data=b"caf\xe9\n")
    assert done.returncode == 2
    assert b"not UTF-8: byte 0xe9 at offset 3" in done.stderr


def test_a_current_directory_that_is_gone_is_named(home: Path, tmp_path: Path) -> None:
    shell = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m autohands tool list"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 2
    assert b"the current directory does not exist any more; change to another" in done.stderr


@pytest.mark.parametrize("name", ["tool", "task"])
def test_an_unforeseen_error_is_one_line_and_a_traceback_with_debug(home: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys, types\nmodule = types.ModuleType('autohands.cli.{name}')\n"
        f"sys.modules['autohands.cli.{name}'] = module\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run(name, environment=environment)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"fault of AutoHands" in done.stderr
    assert b"Traceback" in run(name, "--debug", environment=environment).stderr
    assert b"Traceback" in run(name, environment={**environment, "AUTOHANDS_DEBUG": "1"}).stderr


def test_config_set_and_show_tell_the_origin_and_hide_secrets(home: Path) -> None:
    secret = "sk-1234567890abcdefghij"
    assert run("config", "set", "limits.turns", "7").returncode == 0
    assert run("config", "set", "providers.acme.api_key", secret).returncode == 0
    done = run("config", "show", "--json")
    shown = {item["key"]: item for item in json.loads(done.stdout)["items"]}
    assert shown["limits.turns"]["value"] == 7
    assert shown["limits.turns"]["origin"].startswith(f"{home}/config.toml:")
    assert secret.encode() not in done.stdout + run("config", "show").stdout
    assert json.loads(run("config", "check", "--json").stdout)["ok"] is True
    assert run("config", "path").stdout.decode().strip() == str(home / "config.toml")


def test_a_configuration_that_is_wrong_is_shown_and_mended(home: Path) -> None:
    refused = run("config", "set", "extensions.provider-openai.foo", "1")
    assert (refused.returncode, (home / "config.toml").exists()) == (2, False)
    assert b"extensions.provider-openai.foo: unknown key" in refused.stderr
    (home / "config.toml").write_text("[limits]\nturns = 4\n[extensions.provider-openai]\nfoo = 1\n")
    shown = run("config", "show", "--json")
    found = json.loads(shown.stdout)
    assert (shown.returncode, len(found["problems"])) == (2, 1)
    assert {"key": "limits.turns", "value": 4, "origin": f"{home}/config.toml:2"} in found["items"]
    assert b"config.toml:4: extensions.provider-openai.foo: unknown key" in run("config", "show").stderr
    assert run("config", "set", "limits.turns", "5").returncode == 0
    assert run("config", "unset", "extensions.provider-openai.foo").stdout.endswith(b"is not set any more\n")
    assert run("config", "check").returncode == 0


def test_config_set_takes_negative_values_and_tables_and_says_what_it_did(home: Path) -> None:
    negative = run("config", "set", "limits.turns", "-5")
    assert (negative.returncode, negative.stdout) == (2, b"")
    assert b"expected an integer >= 1" in negative.stderr
    table = run("config", "set", "providers.acme", '{base_url = "http://x"}').stdout.decode()
    assert re.search(rf"providers.acme.base_url +http://x +{home}/config.toml:2", table)
    missing = run("config", "set", "workspace", "/nonexistent")
    assert (missing.returncode, missing.stderr) == (0, b"warning: /nonexistent is no directory (yet)\n")
    stray = run("config", "check", environment={**os.environ, "AUTOHANDS_LIMTS_TURNS": "1"})
    assert b"AUTOHANDS_LIMTS_TURNS sets nothing; did you mean AUTOHANDS_LIMITS_TURNS?" in stray.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "show"),
        ("config", "check"),
        ("task", "list"),
        ("session", "list"),
        ("tool", "list"),
        ("extension", "list"),
        ("provider", "list"),
        ("doctor",),
    ],
)
def test_looking_makes_no_state_directory(home: Path, arguments: tuple[str, ...]) -> None:
    home.rmdir()
    done = run(*arguments)
    assert (done.returncode, home.exists()) == (0, False), done.stderr


CLASH = """\
from autohands.sdk import Extension, tool

@tool(effect="read")
async def read_file(path: str) -> str:
    \"\"\"Read.\"\"\"
    return path

extension = Extension(name="clash", version="1.0", summary="Clashes.", tools=(read_file,))
"""


def test_an_extension_that_does_not_start_is_not_ready(home: Path) -> None:
    folder = home / "extensions" / "clash"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "clash.py").write_text(CLASH)
    (folder / "extension.toml").write_text('name = "clash"\nversion = "1.0"\nentry = "clash:extension"\n')
    for each in (home / "extensions", folder, *folder.iterdir()):
        each.chmod(each.stat().st_mode & ~0o022)
    enabled = run("extension", "enable", "clash", "--json")
    assert (enabled.returncode, json.loads(enabled.stdout)["status"]) == (1, "failed")
    seen = json.loads(run("extension", "info", "clash", "--json").stdout)
    assert (seen["status"], seen["tools"]) == ("failed", [])
    assert "read_file" in seen["reason"]
    (home / "config.toml").write_text("modle = 1\n")
    unknown = run("extension", "list", "--json")
    assert unknown.returncode == 0
    assert b"the configuration is wrong" in unknown.stderr


def test_extension_info_lists_tools_and_keys(home: Path) -> None:
    tools = json.loads(run("extension", "info", "tools-shell", "--json").stdout)
    assert tools["tools"] == ["background", "exec", "shell_session"]
    keys = json.loads(run("extension", "info", "provider-openai", "--json").stdout)
    assert "extensions.provider-openai.api_key" in keys["configuration"]


def test_config_check_names_everything_that_is_wrong(home: Path) -> None:
    (home / "config.toml").write_text('modle = "x/y"\n[limits]\nturns = "many"\n')
    done = run("config", "check")
    assert done.returncode == 2
    assert b"config.toml:1" in done.stderr
    assert b"config.toml:3" in done.stderr


def test_extensions_are_listed_and_switched_off(home: Path) -> None:
    def status(name: str) -> str:
        items = json.loads(run("extension", "list", "--json").stdout)["items"]
        return str(next(item["status"] for item in items if item["name"] == name))

    assert status("tools-filesystem") == "ready"
    assert run("extension", "disable", "tools-filesystem").returncode == 0
    assert status("tools-filesystem") == "disabled"
    assert run("extension", "enable", "tools-filesystem").returncode == 0
    assert json.loads(run("extension", "info", "tools-filesystem", "--json").stdout)["status"] == "ready"
