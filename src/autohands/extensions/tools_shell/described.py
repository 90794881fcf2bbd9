"""Jobs as a model is told of them: a line, and the same as data."""

from __future__ import annotations

import time
from typing import Any

from autohands.protocols.process import ExitStatus, Job, JobRow
from autohands.sdk import NotFound, ToolContext, ToolError, ToolResult
from autohands.sdk.clip import escape

from .shown import how_ended

COMMAND_CHARACTERS = 120


def status_of(job: Job) -> ExitStatus | None:
    """How a job ended, None while it runs; what the process knows counts before what the row says."""
    if job.process is not None:
        return job.process.status
    row = job.row
    return None if row.status == "running" else ExitStatus(row.exit_code, row.signal, row.reason, duration(row))


def duration(row: JobRow) -> float:
    """Seconds from start to end, or until now."""
    return max(0.0, (row.ended or time.time() * 1000) - row.started) / 1000


def state(job: Job) -> str:
    """A job's id and how it is."""
    status = status_of(job)
    if status is not None:
        return f"{job.row.id}: {'lost' if status.reason == 'lost' else how_ended(status)}"
    if job.process is None:
        return f"{job.row.id}: runs in another program"
    return f"{job.row.id}: running for {duration(job.row):.0f} s"


def line(job: Job) -> str:
    """A job in one line: also what it is."""
    command = " ".join(job.row.command.split())
    shown = command if len(command) <= COMMAND_CHARACTERS else f"{command[:COMMAND_CHARACTERS]}…"
    return f"{state(job)}: {escape(shown)}"


def data(job: Job) -> dict[str, Any]:
    """A job as data."""
    row, status = job.row, status_of(job)
    return {
        "process_id": row.id,
        "status": row.status if status is None else "lost" if status.reason == "lost" else "exited",
        "exit_code": status.code if status else None,
        "signal": status.signal if status else None,
        "pid": row.pid,
        "command": row.command,
        "cwd": row.cwd,
        "total_bytes": job.process.total if job.process else row.output_total,
        "started": row.started,
        "ended": row.ended,
    }


def listing(jobs: list[Job], nothing: str, key: str) -> ToolResult:
    """Several jobs, a line each."""
    return ToolResult("\n".join(map(line, jobs)) or nothing, {key: [data(job) for job in jobs]})


async def find_process(ctx: ToolContext, process_id: str | None, action: str) -> Job:
    """The process that an action is about. Raises `ToolError`."""
    job = await _find(ctx, process_id, action, "process_id")
    if job.row.kind == "shell":
        raise ToolError(f"not_found: {job.row.id} is a shell; use shell_session")
    return job


async def find_shell(ctx: ToolContext, session_id: str | None, action: str) -> Job:
    """The shell that an action is about. Raises `ToolError`."""
    job = await _find(ctx, session_id, action, "session_id")
    if job.row.kind != "shell":
        raise ToolError(f"not_found: {job.row.id} is no shell; use background")
    return job


async def _find(ctx: ToolContext, id: str | None, action: str, name: str) -> Job:
    if not id:
        raise ToolError(f"invalid_arguments: {action} needs {name}")
    try:
        return await ctx.jobs.get(id)
    except NotFound as error:
        raise ToolError(f"not_found: {error.text}") from error
