"""`exec`: run one command and wait for its end."""

from __future__ import annotations

from autohands.protocols.process import Command
from autohands.sdk import ToolContext, ToolResult, tool
from autohands.sdk.clip import whole_head

from .commandline import approval, checked_command, shell_program
from .shown import LONGEST_SECONDS, OUTPUT_BYTES, Live, checked_seconds, result
from .unread import Unread

MARGIN_SECONDS = 60.0


async def preview(
    ctx: ToolContext, command: str, timeout_seconds: float = 120, cwd: str = ".", stdin: str | None = None
) -> str:
    """What a person is shown who must approve."""
    return approval(command, cwd, stdin)


@tool(name="exec", effect="irreversible", timeout_seconds=LONGEST_SECONDS + MARGIN_SECONDS, preview=preview)
async def exec_(
    ctx: ToolContext, command: str, timeout_seconds: float = 120, cwd: str = ".", stdin: str | None = None
) -> ToolResult:
    """Run a shell command and wait until it ends. Whatever it started and left running is ended with it.

    There is no terminal and nobody to answer questions; pagers are off. For servers and other things that go on use
    `background`, for several commands that build on each other `shell_session`.

    Args:
        command: Command line for bash; several lines are fine.
        timeout_seconds: How long it may take, at most 3600.
        cwd: Directory to run it in, relative to the workspace.
        stdin: Text for its standard input; without it that is empty.
    """
    script = checked_command(command, "exec")
    async with ctx.workspace.open_directory(cwd) as place:
        wanted = Command(
            argv=(shell_program(), "-c", script),
            cwd=place.fd,
            stdin=None if stdin is None else stdin.encode("utf-8", "surrogateescape"),
            timeout_seconds=checked_seconds(timeout_seconds),
        )
        async with ctx.spawn(wanted) as process:
            await Live(ctx).follow(process)
            captured = await process.captured(OUTPUT_BYTES)
            if not captured.truncated:
                return result(captured)
            job = await ctx.jobs.keep(process, title=script, cwd=place.path)
            Unread(ctx).set(job.row.id, len(whole_head(captured.head)))
            hint = f"background action=output process_id={job.row.id} reads on"
            return result(captured, hint=hint, more={"process_id": job.row.id})
