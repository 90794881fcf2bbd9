"""`shell_session`: a shell that keeps its directory, its variables and what it has running, from call to call."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from typing import Literal, TypeAlias

from autohands.protocols.process import Job
from autohands.protocols.tool import Arguments, Effect
from autohands.sdk import ToolContext, ToolError, ToolResult, tool
from autohands.sdk.clip import escape

from .commandline import approval, checked_command
from .described import data, find_shell, line, listing, status_of
from .shell import Executed, Shell
from .shells import Shells
from .shown import LONGEST_SECONDS, OUTPUT_BYTES, Live, checked_seconds, how_ended, output_text
from .span import both_ends

Action: TypeAlias = Literal["create", "execute", "list", "kill"]

READS = frozenset({"create", "list"})  # a fresh shell changes nothing yet
MARGIN_SECONDS = 60.0
CD_SECONDS = 20.0
KILL_GRACE_SECONDS = 0.2


def effect_of(arguments: Arguments) -> Effect:
    """Looking and preparing are reads; a command can do anything."""
    return "read" if arguments["action"] in READS else "irreversible"


async def preview(
    ctx: ToolContext,
    action: Action,
    session_id: str | None = None,
    command: str | None = None,
    timeout_seconds: float = 120,
) -> str:
    """What a person is shown who must approve."""
    job = await find_shell(ctx, session_id, action) if session_id else await Shells(ctx).latest()
    if action == "kill":
        return f"kill the shell {line(job) if job else ''}"
    return approval(command or "", f"{job.row.cwd} (shell {job.row.id})" if job else "a new shell in the workspace")


@tool(effect="irreversible", effect_of=effect_of, timeout_seconds=LONGEST_SECONDS + MARGIN_SECONDS, preview=preview)
async def shell_session(
    ctx: ToolContext,
    action: Action,
    session_id: str | None = None,
    command: str | None = None,
    timeout_seconds: float = 120,
) -> ToolResult:
    """Work in a shell that keeps its directory, variables, functions and background jobs between commands.

    `execute` returns when the command has ended, with its exit code. One that takes too long is interrupted as by
    Ctrl-C, then killed; the shell stays. There is a terminal, but nobody to type: do not start editors or pagers.

    Args:
        action: `create` a shell, `execute` a command in one, `list` them, `kill` one.
        session_id: Which shell. Without it `execute` uses the latest one, or a new one in the workspace. With `create`
            the id of one that has ended: the new one starts in its directory.
        command: With `execute`, what to run; several lines are fine.
        timeout_seconds: With `execute`, how long it may take, at most 3600.
    """
    match action:
        case "list":
            return listing(await Shells(ctx).all(), "no shells", "shells")
        case "create":
            return await _create(ctx, await find_shell(ctx, session_id, action) if session_id else None)
        case "kill":
            return await _kill(await find_shell(ctx, session_id, action))
        case "execute":
            script, limit = checked_command(command, action), checked_seconds(timeout_seconds)
            job = await find_shell(ctx, session_id, action) if session_id else await Shells(ctx).latest()
            job, shell = (job, Shells(ctx).of(job)) if job else await Shells(ctx).open()
            return await _execute(ctx, job, shell, script, limit)


async def _create(ctx: ToolContext, ended: Job | None) -> ToolResult:
    """A new shell, in the directory of one that has ended if that is still there."""
    if ended is not None and status_of(ended) is None:
        raise ToolError(f"conflict: {line(ended)}; execute commands in it")
    job, shell = await Shells(ctx).open()
    note = f"shell {job.row.id} in {escape(job.row.cwd)}"
    if ended is not None:
        moved = await shell.execute(f"cd -- {shlex.quote(ended.row.cwd)}", CD_SECONDS, lambda output: None)
        await job.moved(moved.cwd or job.row.cwd)
        where = "" if moved.status == 0 else f"; {escape(ended.row.cwd)} is gone"
        note = f"shell {job.row.id} in {escape(job.row.cwd)}{where}; what {ended.row.id} had set is gone"
    return ToolResult(note, data(job))


async def _kill(job: Job) -> ToolResult:
    if job.process is not None:
        await job.process.terminate(KILL_GRACE_SECONDS)
    return ToolResult(line(job), data(job))


async def _execute(ctx: ToolContext, job: Job, shell: Shell, command: str, timeout_seconds: float) -> ToolResult:
    before, began = job.row.cwd, time.monotonic()
    executed = await shell.execute(command, timeout_seconds, Live(ctx).show)
    if executed.cwd is not None:
        await job.moved(executed.cwd)
    head, tail = both_ends(shell.process, executed.start, executed.end, OUTPUT_BYTES)
    total = executed.end - executed.start
    text = output_text(head, tail, total - len(head) - len(tail))
    facts = {
        "session_id": job.row.id,
        "exit_code": executed.status if executed.ended is None else executed.ended.code,
        "cwd": job.row.cwd,
        "timed_out": executed.timed_out,
        "ended": executed.ended is not None,
        "total_bytes": total,
        "truncated": total > len(head) + len(tail),
        "duration_seconds": round(time.monotonic() - began, 3),
    }
    notes = list(_notes(executed, timeout_seconds, moved=job.row.cwd != before, cwd=job.row.cwd))
    if not text and not notes:
        notes = ["exit code 0"]
    failed = executed.timed_out or facts["exit_code"] != 0
    return ToolResult("\n".join([*([text] if text else []), *(f"[{note}]" for note in notes)]), facts, failed=failed)


def _notes(executed: Executed, timeout_seconds: float, *, moved: bool, cwd: str) -> Iterator[str]:
    """What the output does not show."""
    if executed.timed_out:
        yield f"timed out after {timeout_seconds:g} s and was interrupted"
    if executed.ended is not None:
        yield f"the shell has ended: {how_ended(executed.ended)}"
    elif executed.status:
        yield f"exit code {executed.status}"
    if moved:
        yield f"now in {escape(cwd)}"
