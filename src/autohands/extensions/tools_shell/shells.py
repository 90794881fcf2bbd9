"""The shells of a session: which there are, and the way into each that still runs here."""

from __future__ import annotations

from autohands.protocols.process import Command, Job
from autohands.sdk import ToolContext, ToolError
from autohands.sdk.clip import escape

from .described import line, status_of
from .shell import Shell

KEY = "tools-shell.shells"


class Shells:
    """Shells by job."""

    def __init__(self, ctx: ToolContext) -> None:
        self._ctx = ctx
        self._open: dict[str, Shell] = ctx.data.setdefault(KEY, {})

    async def all(self) -> list[Job]:
        """All of the session's, oldest first, those that have ended too."""
        return [job for job in await self._ctx.jobs.list() if job.row.kind == "shell"]

    async def latest(self) -> Job | None:
        """The youngest that runs here."""
        return next((job for job in reversed(await self.all()) if job.process and status_of(job) is None), None)

    async def open(self) -> tuple[Job, Shell]:
        """A new one, in the workspace. Raises `ToolError` if it does not answer."""
        async with self._ctx.workspace.open_directory(".") as place:
            wanted = Command(argv=Shell.argv(), cwd=place.fd, pty=True, stdin="pipe")
            job = await self._ctx.jobs.start(wanted, title="shell", kind="shell", cwd=place.path)
        shell = self.of(job)
        opened = await shell.open()
        if opened.cwd is None:
            raise ToolError("the shell does not answer")
        await job.moved(opened.cwd)
        return job, shell

    def of(self, job: Job) -> Shell:
        """The shell of a job that runs here. Raises `ToolError` for one that does not."""
        if job.process is None or job.process.status is not None:
            self._open.pop(job.row.id, None)
            raise ToolError(
                f"{line(job)}; it was in {escape(job.row.cwd)}. "
                f"action=create session_id={job.row.id} gives a fresh shell in that directory"
            )
        return self._open.setdefault(job.row.id, Shell(job.process))
