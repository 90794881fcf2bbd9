"""What commands may do to the program that runs them, through the real tools: floods, questions, secrets, limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import autohands
from autohands.protocols.tool import ToolResult
from core.disk import PEAK_MIB, run_script
from walk.hardship import powerless, run

from .conftest import Open

pytestmark = pytest.mark.slow


async def executed(hands: autohands.Hands, command: str, seconds: float = 20) -> ToolResult:
    """What `exec` answers."""
    return await hands.call_tool("exec", {"command": command, "timeout_seconds": seconds})


FLOODED = (
    PEAK_MIB
    + """
import asyncio, sys, autohands
async def main():
    async with autohands.open(sys.argv[1], sys.argv[2]) as hands:
        async def run(command, seconds):
            return await hands.call_tool("exec", {"command": command, "timeout_seconds": seconds})
        await run("seq 1 100000", 20)
        before = peak_mib()
        for command, seconds in (("yes", 1), ("head -c 100M /dev/zero", 20)):
            result = await run(command, seconds)
            data = result.data
            print(data["timed_out"], data["truncated"], data["total_bytes"], len(result.text))
    print(peak_mib() - before)
asyncio.run(main())
"""
)
NAIVE = (
    PEAK_MIB
    + """
import subprocess
before = peak_mib()
output = subprocess.run(["head", "-c", "100M", "/dev/zero"], capture_output=True).stdout
print(len(output), peak_mib() - before)
"""
)


def test_sh03_sh09_a_flood_without_end_is_drained_bounded_and_ended(home: Path, workspace: Path) -> None:
    endless, zeros, grown_mib = run_script(FLOODED, home, workspace).splitlines()
    timed_out, truncated, total, length = endless.split()
    assert (timed_out, truncated) == ("True", "True")
    assert int(total) > 10 << 20, "it was drained, not blocked"
    assert int(length) < 33_000
    assert zeros.split()[:3] == ["False", "True", str(100 << 20)]
    assert int(grown_mib) < 32


def test_sh03_twin_a_naive_capture_grows_with_the_output() -> None:
    assert int(run_script(NAIVE).split()[1]) > 32


async def test_sh08_who_asks_a_person_gets_no_answer_and_ends(opened: Open) -> None:
    python = f"{sys.executable} -W ignore -c"
    asking = [
        f"{python} 'import getpass; getpass.getpass()'",
        f"{python} 'input()'",
        "read -r -p 'Password: ' answer </dev/tty",
        "cat | wc -c; false",
        "git clone https://user@127.0.0.1:1/x || false",
        "echo $PAGER$GIT_PAGER$GIT_TERMINAL_PROMPT; false",
    ]
    async with opened() as (hands, _):
        for command in asking:
            data = (await executed(hands, command)).data or {}
            assert (data["timed_out"], data["reason"]) == (False, "exited"), command
            assert data["exit_code"] != 0, command


SECRETS = {"AUTOHANDS_TEST_SECRET": "canary-1", "OPENAI_API_KEY": "canary-2", "LD_AUDIT_X": "canary-3"}
TELLING = "env; tr '\\0' '\\n' </proc/$PPID/environ; echo the end"


def test_sh10_a_command_does_not_see_the_programs_secrets(home: Path, workspace: Path) -> None:
    done = run(home, "tool", "call", "exec", json.dumps({"command": TELLING}), cwd=workspace, env=SECRETS)
    assert done.returncode == 0, done
    assert "PATH=" in done.stdout
    assert "the end" in done.stdout
    assert "canary" not in done.stdout + done.stderr


async def test_sh10_nor_does_a_shell_or_a_background_job(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    async with opened() as (hands, _):
        told = (await hands.call_tool("shell_session", {"action": "execute", "command": TELLING})).text
        spawned = await hands.call_tool("background", {"action": "spawn", "command": f"sleep 0.3; {TELLING}"})
        job = (spawned.data or {})["process_id"]
        told += (await hands.call_tool("background", {"action": "wait", "process_id": job})).text
    assert told.count("the end") == 2
    assert told.count("PATH=") >= 2
    assert "canary" not in told


LIMITED = """
import asyncio, sys
from pathlib import Path
from autohands.protocols.process import Command, Limits
from autohands.sandbox.spawn import Spawner
async def main():
    limits = {"exec": Limits(file_bytes=1 << 20)}
    script = f"ulimit -f unlimited; ulimit -Hf; head -c 10M /dev/zero >{sys.argv[1]}/big"
    async with Spawner(Path(sys.argv[1]), profiles=limits) as spawn, spawn(Command(argv=("bash", "-c", script))) as one:
        print((await one.captured()).status.reason)
asyncio.run(main())
"""


def test_sh07_a_command_cannot_raise_its_limits(tmp_path: Path) -> None:
    command = [*powerless(), sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == ("fsize\n", 0), done.stderr
    assert (tmp_path / "big").stat().st_size <= 1 << 20


SPAWNING = """
import asyncio, sys, autohands
async def main():
    async with autohands.open(sys.argv[1], sys.argv[2]) as hands:
        arguments = {"action": "spawn", "command": "echo listening; sleep 600"}
        spawned = await hands.call_tool("background", arguments, session="s1")
        print(spawned.data["process_id"], flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


@contextmanager
def program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A program that goes on, and the first line it prints."""
    process = subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


async def test_sh19_a_job_of_a_program_that_was_killed_is_lost_and_not_silently_gone(
    home: Path, workspace: Path, opened: Open
) -> None:
    with program(SPAWNING, str(home), str(workspace)) as (process, job):
        os.kill(process.pid, signal.SIGKILL)
    async with opened() as (hands, _):
        asked = {"action": "status", "process_id": job}
        status = await hands.call_tool("background", asked, session="s1")
        listed = await hands.call_tool("background", {"action": "list"}, session="s1")
    assert (status.data or {})["status"] == "lost"
    assert [each["process_id"] for each in (listed.data or {})["processes"]] == [job]


async def test_sh13_sh22_what_a_run_shows_obeys_no_terminal_and_fits_into_json(opened: Open) -> None:
    script = r"printf '\033]52;c;Y2xpcA==\007\033[2Jred\377\000\r\n\033]8;;http://x\033\\link\033]8;;\033\\'; exit 257"
    async with opened() as (hands, _):
        result = await executed(hands, script)
    assert result.text == "red\\xff\r\nlink\n[exit code 1]"
    assert "\x1b" not in json.dumps([result.text, result.data], ensure_ascii=False)
