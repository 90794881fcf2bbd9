"""`exec`: what the model gets of a command."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any, cast

import pytest

from autohands.extensions.tools_shell.background import background
from autohands.extensions.tools_shell.exec import exec_
from autohands.protocols.tool import ToolResult
from autohands.sdk import ToolContext, ToolError
from sandbox.witness import Witness


async def run(ctx: ToolContext, command: str, **arguments: Any) -> ToolResult:
    return await exec_.run(ctx, exec_.validate({"command": command, **arguments}))


def data(result: ToolResult) -> dict[str, Any]:
    assert result.data is not None
    return result.data


async def test_a_command_that_works(ctx: ToolContext) -> None:
    result = await run(ctx, "echo one; echo two >&2")
    assert (result.text, result.failed) == ("one\ntwo", False)
    facts = data(result)
    assert facts.pop("duration_seconds") >= 0
    assert facts == {
        "exit_code": 0,
        "signal": None,
        "reason": "exited",
        "timed_out": False,
        "total_bytes": 8,
        "truncated": False,
    }


@pytest.mark.parametrize(
    ("command", "text", "code"),
    [
        ("true", "[exit code 0]", 0),
        ("echo x; exit 3", "x\n[exit code 3]", 3),
        ("kill -9 $$", "[ended by SIGKILL]", None),
        ("no-such-program", "no-such-program: command not found\n[exit code 127]", 127),
        ("printf 'no newline'", "no newline", 0),
        ("cat <<END\nseveral $((1 + 1))\nlines\nEND", "several 2\nlines", 0),
        ("[[ a == a ]] && echo bash", "bash", 0),
    ],
)
async def test_sh22_how_it_ended_is_told(ctx: ToolContext, command: str, text: str, code: int | None) -> None:
    result = await run(ctx, command)
    assert result.text.removeprefix("bash: line 1: ").removeprefix("/usr/bin/bash: line 1: ") == text
    assert data(result)["exit_code"] == code
    assert result.failed is (code != 0)


async def test_sh09_a_time_limit(ctx: ToolContext) -> None:
    result = await run(ctx, "echo partial; sleep 600", timeout_seconds=0.3)
    assert result.text.startswith("partial\n[timed out after")
    assert (data(result)["timed_out"], result.failed) == (True, True)


@pytest.mark.parametrize("seconds", [0, -1, 3601, float("nan")])
async def test_a_time_limit_must_make_sense(ctx: ToolContext, seconds: float) -> None:
    with pytest.raises(ToolError, match="timeout_seconds"):
        await run(ctx, "true", timeout_seconds=seconds)


async def test_sh03_long_output_keeps_both_ends_and_the_rest_can_be_read(ctx: ToolContext) -> None:
    result = await run(ctx, "seq 1 200000")
    head, mark, tail = result.text.partition("[…")
    assert head.startswith("1\n2\n")
    assert tail.endswith("\n200000")
    assert len(result.text) < 32_768
    assert data(result)["truncated"]
    process = data(result)["process_id"]
    assert f"process_id={process}" in tail
    numbers = head.split()
    while (
        "this was the end" not in (piece := await background.run(ctx, {"action": "output", "process_id": process})).text
    ):
        numbers += piece.text.split("[")[0].split()
    numbers += piece.text.split("[")[0].split()
    assert [int(number) for number in numbers] == list(range(1, 200_001))
    assert mark


async def test_sh04_a_process_left_behind_is_not_waited_for_and_not_left(ctx: ToolContext, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "fifo")
    async with asyncio.timeout(10):
        result = await run(ctx, f"{witness.shell} setsid sleep 600 & sleep 600 & echo done")
    assert result.text == "done"
    await witness.nobody_lives(5)
    witness.close()


async def test_sh05_a_cancelled_call_leaves_nothing(ctx: ToolContext, tmp_path: Path, workspace: Path) -> None:
    witness = Witness(tmp_path / "fifo")
    task = asyncio.create_task(run(ctx, f"{witness.shell} echo on; setsid sleep 600 & sleep 600"))
    shown = cast("Any", ctx).shown
    async with asyncio.timeout(10):
        while not shown:
            await asyncio.sleep(0.005)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not witness.somebody_lives()
    assert list(workspace.iterdir()) == []
    witness.close()


async def test_sh07_limits_are_named(ctx: ToolContext, tmp_path: Path) -> None:
    assert (await run(ctx, "kill -XFSZ $$")).text == "[fsize: a file grew larger than a command may write]"


async def test_sh08_nobody_is_asked(ctx: ToolContext) -> None:
    assert (await run(ctx, "read x || echo nobody; test -t 1 || echo no terminal")).text == "nobody\nno terminal"


async def test_sh10_the_environment_is_clean(ctx: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "AUTOHANDS" not in (await run(ctx, "env")).text
    assert os.environ.get("PYTEST_CURRENT_TEST")
    assert "PYTEST_CURRENT_TEST" not in (await run(ctx, "env")).text


async def test_sh13_what_only_a_terminal_obeys_is_taken_out(ctx: ToolContext) -> None:
    script = r"""printf '\033[31mred\033[0m \033]0;title\007\033]52;c;Y2xpcA==\007\033]8;;http://x\033\\link\033]8;;\033\\'
printf ' \033[?2004hpaste\033[?2004l\r\n'; printf 'open \033]0;never closed\nnext'"""
    assert (await run(ctx, script)).text == "red link paste\r\nopen \nnext"


async def test_sh22_what_is_no_text_stays_readable_and_fits_into_json(ctx: ToolContext) -> None:
    result = await run(ctx, r"printf 'a\377b\355\240\200c\000d'")
    assert result.text == r"a\xffb\xed\xa0\x80cd"
    assert result.text.encode()


async def test_directory_and_input(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "sub dir").mkdir()
    assert (await run(ctx, "pwd; cat", cwd="sub dir", stdin="ünput\n")).text == f"{workspace}/sub dir\nünput"


@pytest.mark.parametrize("cwd", ["..", "/etc", "missing", "link"])
async def test_the_directory_lies_in_the_workspace(ctx: ToolContext, workspace: Path, cwd: str) -> None:
    (workspace / "link").symlink_to("/etc")
    with pytest.raises(ToolError):
        await run(ctx, "pwd", cwd=cwd)


@pytest.mark.parametrize("command", ["", "  ", "echo \0"])
async def test_a_command_is_needed(ctx: ToolContext, command: str) -> None:
    with pytest.raises(ToolError):
        await run(ctx, command)


async def test_output_is_shown_while_it_comes(ctx: ToolContext) -> None:
    task = asyncio.create_task(run(ctx, "printf '\\033[1mfirst\\n'; read x </dev/zero; sleep 600", timeout_seconds=20))
    shown = cast("Any", ctx).shown
    async with asyncio.timeout(10):
        while not shown:
            await asyncio.sleep(0.005)
    assert shown == ["first\n"]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_who_approves_sees_what_would_run(ctx: ToolContext) -> None:
    arguments = exec_.validate({"command": "rm \u202e/x\x1b[2K", "cwd": "sub", "stdin": "in"})
    assert await exec_.preview(ctx, arguments) == (
        "run in sub:\nrm \\u202e/x\\x1b[2K\nwith 2 characters of input, beginning 'in'"
    )
    assert exec_.effect(arguments) == "irreversible"
