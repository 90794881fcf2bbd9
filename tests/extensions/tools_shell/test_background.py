"""`background`: processes that go on between calls."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from autohands.extensions.tools_shell.background import background
from autohands.protocols.errors import TooBusy
from autohands.protocols.process import Command, JobRow
from autohands.protocols.tool import ToolResult
from autohands.sdk import ToolContext, ToolError
from sandbox.rows import RowsInMemory
from sandbox.witness import Witness


async def call(ctx: ToolContext, action: str, **arguments: Any) -> ToolResult:
    async with asyncio.timeout(30):
        return await background.run(ctx, background.validate({"action": action, **arguments}))


def data(result: ToolResult) -> dict[str, Any]:
    assert result.data is not None
    return result.data


async def spawned(ctx: ToolContext, command: str, **arguments: Any) -> str:
    return str(data(await call(ctx, "spawn", command=command, **arguments))["process_id"])


async def output_until(ctx: ToolContext, process: str, text: str) -> str:
    seen = ""
    async with asyncio.timeout(20):
        while text not in seen:
            await asyncio.sleep(0.005)
            seen += (await call(ctx, "output", process_id=process)).text
    return seen


async def test_sh19_start_poll_feed_and_end(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "sub").mkdir()
    script = "read x; pwd; while read x; do echo got $x; done; echo over; exit 3"
    process = await spawned(ctx, script, cwd="sub")
    await call(ctx, "input", process_id=process, input="go\n")
    assert f"{workspace}/sub" in await output_until(ctx, process, "sub")
    status = await call(ctx, "status", process_id=process)
    assert "running for" in status.text
    assert (data(status)["status"], data(status)["exit_code"], status.failed) == ("running", None, False)
    await call(ctx, "input", process_id=process, input="ä\n")
    assert "got ä" in await output_until(ctx, process, "got")
    await call(ctx, "input", process_id=process, input="")
    ended = await call(ctx, "wait", process_id=process)
    assert ended.text.startswith("over\n[")
    assert (data(ended)["status"], data(ended)["exit_code"], ended.failed) == ("exited", 3, True)
    with pytest.raises(ToolError, match="no open input"):
        await call(ctx, "input", process_id=process, input="x")


async def test_what_fails_at_once_is_seen_at_once(ctx: ToolContext) -> None:
    result = await call(ctx, "spawn", command="no-such-server --port 1")
    assert "command not found" in result.text
    assert (data(result)["exit_code"], result.failed) == (127, True)


async def test_output_is_what_is_new(ctx: ToolContext) -> None:
    process = await spawned(ctx, "read x; echo first; read x; echo second")
    await call(ctx, "input", process_id=process, input="\n")
    await output_until(ctx, process, "first")
    await call(ctx, "input", process_id=process, input="\n")
    text = (await call(ctx, "wait", process_id=process)).text
    assert "second" in text
    assert "first" not in text
    assert (await call(ctx, "output", process_id=process)).text.startswith("[")


async def test_sh03_much_new_output_keeps_both_ends(ctx: ToolContext) -> None:
    process = await spawned(ctx, "echo head; seq 1 100000; echo tail")
    await call(ctx, "wait", process_id=process)
    process = await spawned(ctx, "read x; echo head; seq 1 100000; echo tail")
    await call(ctx, "input", process_id=process, input="\n")
    result = await call(ctx, "wait", process_id=process)
    assert result.text.startswith("head\n1\n")
    assert "\n100000\ntail\n[" in result.text
    assert len(result.text) < 32_768
    assert data(result)["truncated"]


async def test_sh19_kill_leaves_nobody(ctx: ToolContext, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "fifo")
    process = await spawned(ctx, f"{witness.shell} setsid sleep 600 & (sleep 600 &); echo on; wait")
    result = await call(ctx, "kill", process_id=process)
    await witness.nobody_lives(5)
    witness.close()
    assert (data(result)["status"], data(result)["signal"], result.failed) == ("exited", "SIGTERM", False)


async def test_list_shows_processes_and_not_shells(ctx: ToolContext) -> None:
    assert (await call(ctx, "list")).text == "no background processes"
    process = await spawned(ctx, "sleep 600 \x1b[31m\u202e")
    shell = await ctx.jobs.start(Command(argv=("sleep", "600")), title="shell", kind="shell")
    listed = await call(ctx, "list")
    assert [each["process_id"] for each in data(listed)["processes"]] == [process]
    assert "\\x1b[31m\\u202e" in listed.text
    with pytest.raises(ToolError, match="is a shell"):
        await call(ctx, "input", process_id=shell.row.id, input="rm -rf /\n")


async def test_sh19_after_a_restart_a_process_is_lost_with_its_last_output(
    ctx: ToolContext, rows: RowsInMemory
) -> None:
    lost = JobRow(
        id="job_old", session="one", executor="e", command="serve", pid=2**22, born="1", output_tail="listening\n"
    )
    await rows.save_job(lost)
    result = await call(ctx, "output", process_id="job_old")
    assert "lost" in result.text
    assert "listening" in result.text
    assert (data(result)["status"], result.failed) == ("lost", True)
    for action in ("kill", "input"):
        with pytest.raises(ToolError, match="lost"):
            await call(ctx, action, process_id="job_old", input="x")


async def test_sh19_there_is_room_for_so_many(ctx: ToolContext) -> None:
    for _ in range(8):
        await ctx.jobs.start(Command(argv=("sleep", "600")), title="sleep")
    with pytest.raises(TooBusy, match="8 jobs"):
        await spawned(ctx, "sleep 600")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"action": "spawn"}, "needs a command"),
        ({"action": "spawn", "command": "x", "cwd": ".."}, "path_outside_workspace"),
        ({"action": "output"}, "needs process_id"),
        ({"action": "output", "process_id": "job_none"}, "not_found"),
    ],
)
async def test_what_makes_no_sense_is_refused(ctx: ToolContext, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ToolError, match=text):
        await background.run(ctx, background.validate(arguments))


async def test_input_needs_text(ctx: ToolContext) -> None:
    process = await spawned(ctx, "cat")
    with pytest.raises(ToolError, match="needs input"):
        await call(ctx, "input", process_id=process)


async def test_effects_and_what_who_approves_sees(ctx: ToolContext) -> None:
    reads = {action for action in ("spawn", "status", "output", "input", "list", "kill", "wait")
             if background.effect({"action": action}) == "read"}  # fmt: skip
    assert reads == {"status", "output", "list", "wait"}
    arguments = background.validate({"action": "spawn", "command": "serve"})
    assert await background.preview(ctx, arguments) == "in the background, run in the workspace:\nserve"
    process = await spawned(ctx, "cat")
    shown = await background.preview(
        ctx, background.validate({"action": "input", "process_id": process, "input": "y\x1b\n"})
    )
    assert process in shown
    assert shown.endswith(r"'y\x1b\n'")
