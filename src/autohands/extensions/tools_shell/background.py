"""`background`: processes that go on while the model does other things."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal, TypeAlias

from msgspec.structs import replace

from autohands.protocols.errors import Conflict
from autohands.protocols.process import Command, Job, Process
from autohands.protocols.tool import Arguments, Effect
from autohands.sdk import ToolContext, ToolError, ToolResult, tool
from autohands.sdk.clip import whole_head

from .commandline import approval, checked_command, shell_program
from .described import data, find_process, line, listing, state, status_of
from .shown import OUTPUT_BYTES, output_text
from .span import both_ends, span
from .unread import Unread

Action: TypeAlias = Literal["spawn", "status", "output", "input", "list", "kill", "wait"]

READS = frozenset({"status", "output", "list", "wait"})
WAIT_SECONDS = 120.0
STARTED_SECONDS = 0.2
POLL_SECONDS = 1.0


def effect_of(arguments: Arguments) -> Effect:
    """Looking is a read; the rest can do anything."""
    return "read" if arguments["action"] in READS else "irreversible"


async def preview(
    ctx: ToolContext,
    action: Action,
    command: str | None = None,
    process_id: str | None = None,
    cwd: str = ".",
    input: str | None = None,
) -> str:
    """What a person is shown who must approve."""
    if action == "spawn":
        return f"in the background, {approval(command or '', cwd)}"
    job = await find_process(ctx, process_id, action)
    return f"{action} {line(job)}" + (f"\n{input!r}" if action == "input" else "")


@tool(effect="irreversible", effect_of=effect_of, preview=preview, poll=POLL_SECONDS)
async def background(
    ctx: ToolContext,
    action: Action,
    command: str | None = None,
    process_id: str | None = None,
    cwd: str = ".",
    input: str | None = None,
) -> ToolResult:
    """Run processes in the background: servers, watchers, long builds. They end with the program at the latest.

    `spawn` starts one and returns its process_id. `output` returns what it printed since you last asked, `status` how
    it is, `wait` waits up to two minutes for its end, `list` shows all.

    Args:
        action: What to do.
        command: With `spawn`, the command line for bash.
        process_id: Which process, for all actions but `spawn` and `list`.
        cwd: With `spawn`, the directory to run it in, relative to the workspace.
        input: With `input`, text for its standard input, newline included; empty text closes it.
    """
    if action == "spawn":
        return await _spawn(ctx, checked_command(command, action), cwd)
    if action == "list":
        jobs = [job for job in await ctx.jobs.list() if job.row.kind != "shell"]
        return listing(jobs, "no background processes", "processes")
    job = await find_process(ctx, process_id, action)
    match action:
        case "status":
            return ToolResult(line(job), data(job))
        case "output":
            return _read_on(ctx, job)
        case "input":
            return await _feed(job, input)
        case "kill":
            await _running(job).terminate()
            return replace(_read_on(ctx, job), failed=False)
        case "wait":
            return await _wait(ctx, job)


async def _spawn(ctx: ToolContext, command: str, cwd: str) -> ToolResult:
    async with ctx.workspace.open_directory(cwd) as place:
        wanted = Command(argv=(shell_program(), "-c", command), cwd=place.fd, stdin="pipe")
        job = await ctx.jobs.start(wanted, title=command, cwd=place.path)
    with suppress(TimeoutError):  # what fails at once should be seen at once
        async with asyncio.timeout(STARTED_SECONDS):
            await _running(job).wait()
    return _read_on(ctx, job)


async def _wait(ctx: ToolContext, job: Job) -> ToolResult:
    if job.process is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await job.process.wait()
    return _read_on(ctx, job)


async def _feed(job: Job, text: str | None) -> ToolResult:
    process = _running(job)
    if text is None:
        raise ToolError("invalid_arguments: input needs input; empty text closes the process's standard input")
    try:
        if text:
            await process.write(text.encode("utf-8", "surrogateescape"))
        else:
            process.close_stdin()
    except Conflict as error:
        raise ToolError(f"{job.row.id}: {error.text}") from error
    return ToolResult(f"sent {len(text):,} characters to {job.row.id}" if text else "closed its input", data(job))


def _running(job: Job) -> Process:
    if job.process is None:
        raise ToolError(line(job))
    return job.process


def _read_on(ctx: ToolContext, job: Job) -> ToolResult:
    """What a job printed since the session last read: of a running one both ends, of kept output the next piece."""
    if job.process is None:
        last = f"the last it printed:\n{job.row.output_tail}" if job.row.output_tail else "it printed nothing"
        return ToolResult(f"[{line(job)}]\n{last}", data(job) | {"truncated": True}, failed=job.row.status == "lost")
    unread = Unread(ctx)
    start, end = unread.get(job.row.id), job.process.total
    if job.row.kind == "output":
        piece = span(job.process, start, min(end, start + OUTPUT_BYTES))
        shown = piece if start + len(piece) >= end else whole_head(piece)
        rest = end - start - len(shown)
        text, end = output_text(shown, b"", 0), start + len(shown)
        note = f"{rest:,} bytes more, call again" if rest else "this was the end"
    else:
        head, tail = both_ends(job.process, start, end, OUTPUT_BYTES)
        rest = end - start - len(head) - len(tail)
        text, note = output_text(head, tail, rest), state(job)
    unread.set(job.row.id, end)
    facts = data(job) | {"from_byte": start, "to_byte": end, "truncated": rest > 0}
    status = status_of(job)
    failed = status is not None and not status.ok and job.row.kind != "output"
    return ToolResult("\n".join([*([text] if text else []), f"[{note}]"]), facts, failed=failed)
