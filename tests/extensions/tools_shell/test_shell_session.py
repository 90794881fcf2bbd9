"""`shell_session`: what stays between commands, and that each returns when it has ended."""

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from autohands.extensions.tools_shell.shell_session import shell_session
from autohands.protocols.process import JobRow
from autohands.protocols.tool import ToolResult
from autohands.sdk import ToolContext, ToolError
from sandbox.rows import RowsInMemory
from sandbox.witness import Witness


async def call(ctx: ToolContext, action: str, **arguments: Any) -> ToolResult:
    return await shell_session.run(ctx, shell_session.validate({"action": action, **arguments}))


async def execute(ctx: ToolContext, command: str, **arguments: Any) -> ToolResult:
    async with asyncio.timeout(30):
        return await call(ctx, "execute", command=command, **arguments)


def data(result: ToolResult) -> dict[str, Any]:
    assert result.data is not None
    return result.data


@pytest.fixture(params=["bash", "sh"])
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Each test on bash, and on a machine that has only sh."""
    if request.param == "sh":
        programs = tmp_path / "bin"
        programs.mkdir()
        for name in ("sh", "cat", "sleep", "stty", "head", "wc", "yes", "true", "setsid", "touch"):
            found = shutil.which(name)
            assert found
            (programs / name).symlink_to(found)
        monkeypatch.setenv("PATH", str(programs))
    return str(request.param)


async def test_directory_variables_functions_and_status_stay(shell: str, ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a b").mkdir()
    moved = await execute(ctx, "cd 'a b'; export KEPT=1; here=2; f() { echo \"f $1\"; return 7; }")
    assert (moved.text, data(moved)["cwd"]) == (f"[now in {workspace}/a b]", f"{workspace}/a b")
    result = await execute(ctx, 'pwd; echo "$KEPT $here"; sh -c \'echo "$KEPT $here"\'; f x')
    assert result.text == f"{workspace}/a b\n1 2\n1 \nf x\n[exit code 7]"
    assert (data(result)["exit_code"], result.failed) == (7, True)
    assert (await execute(ctx, "echo $?")).text == "7"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("true", "[exit code 0]"),
        ("printf x", "x"),
        ("for i in 1 2; do\n  echo $i\ndone", "1\n2"),
        ("cat <<END\n$((2 * 3)) 'quote\nEND", "6 'quote"),
        ("echo \"it's\" '!' '$x' \\\\", "it's ! $x \\"),
        ("(exit 300)", "[exit code 44]"),
        ("echo one # comment", "one"),
        ("printf '\\033]777;0123456789abcdef;0;/\\007'; echo spoof", "spoof"),
        ("cat /dev/null; echo after", "after"),
        ("exec >/dev/null; echo hidden", "[exit code 0]"),
        ("test -t 0 && test -t 1 && echo terminal", "terminal"),
    ],
)
async def test_commands_end_when_they_end(shell: str, ctx: ToolContext, command: str, text: str) -> None:
    assert (await execute(ctx, command)).text == text
    assert (await execute(ctx, "echo still here")).text == "still here"


@pytest.mark.parametrize("command", ["echo 'unterminated", 'echo "x', "echo $(", "if true; then", "))", "cat <<'END'"])
async def test_what_is_never_closed_holds_nothing_up(shell: str, ctx: ToolContext, command: str) -> None:
    assert not data(await execute(ctx, command, timeout_seconds=10))["timed_out"]
    assert (await execute(ctx, "echo on")).text == "on"


async def test_it_returns_when_the_command_ends_not_when_a_timer_does(ctx: ToolContext) -> None:
    await call(ctx, "create")
    assert data(await execute(ctx, "sleep 0.2; echo done", timeout_seconds=3600))["duration_seconds"] < 5


async def test_a_process_in_the_background_lives_on_in_the_shell(shell: str, ctx: ToolContext, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "fifo")
    started = await execute(ctx, f"sh -c '{witness.shell.replace(chr(39), '')} sleep 600' & echo started")
    assert "started" in started.text
    assert not data(started)["timed_out"]
    assert "ended" in (await execute(ctx, "kill %1; wait; echo ended")).text.splitlines()
    await witness.nobody_lives(5)
    witness.close()


@pytest.mark.parametrize(
    "command",
    [
        "cat",
        "while :; do :; done",
        "read x; read y",
        "sleep 600",
        pytest.param("sh -c 'trap \"\" INT; sleep 600; sleep 600'", marks=pytest.mark.slow),
    ],
)
async def test_sh09_a_command_that_takes_too_long_is_ended_and_the_shell_stays(
    shell: str, ctx: ToolContext, command: str
) -> None:
    await execute(ctx, "kept=1")
    result = await execute(ctx, f"echo before; {command}", timeout_seconds=0.3)
    assert result.text.startswith("before\n")
    assert "timed out after 0.3 s" in result.text
    assert (data(result)["timed_out"], data(result)["ended"], result.failed) == (True, False, True)
    assert (await execute(ctx, "echo $kept")).text.splitlines()[-1] == "1"


@pytest.mark.slow
async def test_sh09_a_shell_that_cannot_be_interrupted_is_killed(ctx: ToolContext) -> None:
    result = await execute(ctx, "trap '' INT; while :; do :; done", timeout_seconds=0.2)
    assert "the shell has ended" in result.text
    assert (data(result)["timed_out"], data(result)["ended"]) == (True, True)
    with pytest.raises(ToolError, match="gives a fresh shell"):
        await execute(ctx, "echo on", session_id=data(result)["session_id"])


async def test_sh08_a_program_that_takes_the_terminal_does_not_hold_the_session(ctx: ToolContext) -> None:
    assert data(await execute(ctx, "stty raw -echo; printf '\\033[2J'; cat", timeout_seconds=0.3))["timed_out"]
    assert (await execute(ctx, "echo on")).text.splitlines()[-1] == "on"


async def test_exit_ends_the_shell_and_a_fresh_one_starts_where_it_was(
    shell: str, ctx: ToolContext, workspace: Path
) -> None:
    (workspace / "deep").mkdir()
    await execute(ctx, "cd deep")
    result = await execute(ctx, "echo bye; exit 5")
    assert result.text.startswith("bye\n")
    assert result.text.endswith("[the shell has ended: exit code 5]")
    ended = data(result)["session_id"]
    fresh = await call(ctx, "create", session_id=ended)
    assert data(fresh)["cwd"] == f"{workspace}/deep"
    assert (await execute(ctx, "pwd")).text == f"{workspace}/deep"
    (workspace / "deep").rmdir()
    assert "is gone" in (await call(ctx, "create", session_id=ended)).text


async def test_sh19_after_a_restart_a_shell_is_lost_and_a_fresh_one_is_offered(
    ctx: ToolContext, rows: RowsInMemory, workspace: Path
) -> None:
    (workspace / "deep").mkdir()
    await rows.save_job(
        JobRow(id="job_old", session="one", executor="exe", command="shell", kind="shell", pid=2**22, born="1",
               cwd=f"{workspace}/deep")
    )  # fmt: skip
    with pytest.raises(ToolError, match=r"lost.*deep.*create session_id=job_old"):
        await execute(ctx, "pwd", session_id="job_old")
    await call(ctx, "create", session_id="job_old")
    assert (await execute(ctx, "pwd")).text == f"{workspace}/deep"
    listed = data(await call(ctx, "list"))["shells"]
    assert [shell["status"] for shell in listed] == ["lost", "running"]


async def test_sh03_a_flood_is_bounded_and_its_end_is_seen(shell: str, ctx: ToolContext) -> None:
    result = await execute(ctx, "yes | head -c 20000000; echo; echo the end")
    assert len(result.text) < 32_768
    assert result.text.startswith("y\ny\n")
    assert result.text.endswith("the end")
    assert (data(result)["total_bytes"], data(result)["truncated"]) == (20_000_009, True)


async def test_sh13_colours_and_titles_are_taken_out(ctx: ToolContext) -> None:
    assert (await execute(ctx, r"printf '\033[1mbold\033[0m\033]0;t\007\n'")).text == "bold"


async def test_sh05_killing_a_shell_and_cancelling_a_command_leave_nothing(ctx: ToolContext, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "fifo")
    shell = data(await execute(ctx, f"{witness.shell} setsid sleep 600 & echo on"))["session_id"]
    await call(ctx, "kill", session_id=shell)
    await witness.nobody_lives(5)
    task = asyncio.create_task(execute(ctx, f"sh -c '{witness.shell.replace(chr(39), '')} echo on; sleep 600'"))
    async with asyncio.timeout(10):
        while not witness.somebody_lives():
            await asyncio.sleep(0.005)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await witness.nobody_lives(5)
    assert (await execute(ctx, "echo on")).text.splitlines()[-1] == "on"
    witness.close()


async def test_several_shells_are_apart(ctx: ToolContext) -> None:
    one, two = [data(await call(ctx, "create"))["process_id"] for _ in range(2)]
    await execute(ctx, "x=1", session_id=one)
    await execute(ctx, "x=2", session_id=two)
    assert (await execute(ctx, "echo $x", session_id=one)).text == "1"
    assert (await execute(ctx, "echo $x")).text == "2"
    with pytest.raises(ToolError, match="conflict"):
        await call(ctx, "create", session_id=one)


async def test_long_commands_reach_the_shell(ctx: ToolContext) -> None:
    assert (await execute(ctx, f"x='{'é' * 100_000}'; echo ${{#x}}; echo ${{x%%{'é' * 99_999}}}")).text.endswith("é")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"action": "execute"}, "needs a command"),
        ({"action": "execute", "command": "x\0"}, "NUL"),
        ({"action": "execute", "command": "x", "session_id": "job_none"}, "not_found"),
        ({"action": "execute", "command": "x", "timeout_seconds": 0}, "timeout_seconds"),
        ({"action": "kill"}, "needs session_id"),
    ],
)
async def test_what_makes_no_sense_is_refused(ctx: ToolContext, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ToolError, match=text):
        await shell_session.run(ctx, shell_session.validate(arguments))


async def test_a_job_that_is_no_shell_is_not_fed_commands(ctx: ToolContext) -> None:
    from autohands.protocols.process import Command

    job = await ctx.jobs.start(Command(argv=("sleep", "600"), stdin="pipe"), title="sleep")
    with pytest.raises(ToolError, match="no shell"):
        await execute(ctx, "echo", session_id=job.row.id)


async def test_effects_and_what_who_approves_sees(ctx: ToolContext) -> None:
    assert shell_session.effect({"action": "list"}) == shell_session.effect({"action": "create"}) == "read"
    assert shell_session.effect({"action": "execute"}) == shell_session.effect({"action": "kill"}) == "irreversible"
    arguments = shell_session.validate({"action": "execute", "command": "rm \u202ex"})
    assert await shell_session.preview(ctx, arguments) == "run in a new shell in the workspace:\nrm \\u202ex"
    shell = data(await call(ctx, "create"))["process_id"]
    assert shell in await shell_session.preview(ctx, arguments)
    assert "kill the shell" in await shell_session.preview(ctx, arguments | {"action": "kill", "session_id": shell})
