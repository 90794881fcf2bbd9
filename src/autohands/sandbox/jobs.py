"""The processes that sessions keep: they end with the program that runs them, their rows and last output stay."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from autohands.protocols.errors import AutoHandsError, Conflict, NotFound, TooBusy
from autohands.protocols.process import Command, ExitStatus, Job, JobKind, JobRow, Jobs, JobStore, Process
from autohands.sdk.clip import decode, json_safe, plain
from autohands.sdk.identity import new_id, now_ms

from .process import RunningProcess
from .spawn import Spawner
from .tree import born

log = logging.getLogger(__name__)

TAIL_BYTES = 4_096
SAVE_SECONDS = 5.0
CLOSING_GRACE_SECONDS = 1.0


class JobLimits(Struct, frozen=True, kw_only=True):
    """How many may run at once, in a session and in all, and how long; how much finished output stays readable."""

    running: int = 32
    running_in_session: int = 8
    lifetime_seconds: float = 86_400.0
    kept: int = 64
    kept_seconds: float = 3_600.0


class RunningJob:
    """A job of this program: implements `Job`."""

    def __init__(self, row: JobRow, process: RunningProcess, store: JobStore) -> None:
        self.row = row
        self.process: Process = process
        self.ended_at = 0.0
        self._running = process
        self._store = store

    async def moved(self, cwd: str) -> None:
        """Record the directory that a shell is in now."""
        if cwd != self.row.cwd:
            await self._save(replace(self.row, cwd=cwd))

    async def follow(self) -> None:
        """Keep the row near to what the process prints, and record its end."""
        try:
            while self._running.status is None:
                if await self._running.grown(self.row.output_total) > self.row.output_total:
                    await self._save(self._with_output())
                with suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_SECONDS):
                        await self._running.wait()
        finally:
            await self.end()

    async def end(self) -> None:
        """End the process if it still runs, and record how."""
        await self.settle(await self._running.terminate(CLOSING_GRACE_SECONDS))

    async def settle(self, status: ExitStatus) -> None:
        """Record how it ended."""
        self.ended_at = time.monotonic()
        ended = replace(
            self._with_output(),
            status="lost" if status.reason == "lost" else "exited",
            exit_code=status.code,
            signal=status.signal,
            reason=status.reason,
            ended=now_ms(),
        )
        try:
            await self._save(ended)
        except AutoHandsError as error:
            log.warning("the end of job %s could not be recorded: %s", self.row.id, error)

    def release(self) -> None:
        """Give its output back; the row keeps the last of it."""
        self._running.release()

    async def _save(self, row: JobRow) -> None:
        self.row = row
        await self._store.save_job(row)

    def _with_output(self) -> JobRow:
        total = self._running.total
        tail = self._running.read(max(0, total - TAIL_BYTES), TAIL_BYTES).data
        return replace(self.row, output_total=total, output_tail=plain(decode(tail)))


class StoredJob:
    """A job of which only the row is left: implements `Job`."""

    process: None = None

    def __init__(self, row: JobRow) -> None:
        self.row = row

    async def moved(self, cwd: str) -> None:
        """It moves no more."""


class JobTable:
    """All jobs of this program. `of` gives a session its own; leaving the context ends them and records how."""

    def __init__(self, spawner: Spawner, store: JobStore, *, limits: JobLimits = JobLimits()) -> None:  # noqa: B008
        self._spawner = spawner
        self._store = store
        self._limits = limits
        self._executor = new_id("exe")
        self._jobs: dict[str, RunningJob] = {}
        self._following: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> JobTable:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end_all()
        unseen = [job for job in self._jobs.values() if job.row.status == "running"]  # cancelled before its first step
        await asyncio.gather(*(job.end() for job in unseen), return_exceptions=True)
        for job in self._jobs.values():
            job.release()
        self._jobs.clear()

    async def end_all(self) -> None:
        """End every job that is followed, and record how."""
        following = tuple(self._following)
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

    def of(self, session: str) -> Jobs:
        """The jobs of one session."""
        return SessionJobs(self, session)

    async def start(self, session: str, command: Command, *, title: str, kind: JobKind, cwd: str) -> RunningJob:
        """Run a command as a session's job. Raises what `Jobs.start` does."""
        self._check_room(session)
        lifetime = min(command.timeout_seconds or self._limits.lifetime_seconds, self._limits.lifetime_seconds)
        process = await self._spawner.start(replace(command, timeout_seconds=lifetime))
        row = self._row(session, title=title, kind=kind, cwd=cwd, pid=process.pid, born=born(process.pid))
        job = RunningJob(row, process, self._store)
        try:
            await self._store.save_job(row)
        except BaseException:
            await process.close()
            raise
        self._jobs[row.id] = job
        task = asyncio.create_task(job.follow(), name=row.id)
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        return job

    async def keep(self, session: str, process: Process, *, title: str, cwd: str) -> RunningJob:
        """Keep a finished process's output. Raises `Conflict` if it runs, or was not started here."""
        if not isinstance(process, RunningProcess) or process.status is None:
            raise Conflict("only the output of a finished process of this program can be kept")
        job = RunningJob(self._row(session, title=title, kind="output", cwd=cwd, pid=process.pid), process, self._store)
        process.kept = True
        self._jobs[job.row.id] = job
        await job.settle(process.status)
        self._forget_old()
        return job

    async def rows(self, session: str) -> list[JobRow]:
        """A session's rows, each as it stands: what ran in a program that is gone is lost."""
        return [await self._settled(row) for row in await self._store.jobs(session)]

    def find(self, id: str) -> RunningJob | None:
        """A job of this program."""
        return self._jobs.get(id)

    async def _settled(self, row: JobRow) -> JobRow:
        if job := self._jobs.get(row.id):
            return job.row
        if row.status != "running" or (row.born and born(row.pid) == row.born):
            return row
        lost = replace(row, status="lost", reason="lost", ended=now_ms())
        await self._store.save_job(lost)
        return lost

    def _row(self, session: str, *, title: str, kind: JobKind, cwd: str, pid: int, born: str = "") -> JobRow:
        return JobRow(
            id=f"job_{os.urandom(4).hex()}",  # short: a model has to copy it
            session=session,
            executor=self._executor,
            command=json_safe(title),
            kind=kind,
            pid=pid,
            born=born,
            cwd=json_safe(cwd),
            started=now_ms(),
        )

    def _check_room(self, session: str) -> None:
        self._forget_old()
        running = [job.row.session for job in self._jobs.values() if job.row.status == "running"]
        if running.count(session) >= self._limits.running_in_session:
            raise TooBusy(f"this session already runs {running.count(session)} jobs", hint="kill one first")
        if len(running) >= self._limits.running:
            raise TooBusy(f"{len(running)} jobs run already, in all sessions together", hint="try again later")

    def _forget_old(self) -> None:
        """Give back the output of jobs that ended long ago, and of the oldest where there are too many."""
        ended = sorted((job for job in self._jobs.values() if job.ended_at), key=lambda job: job.ended_at)
        too_many = len(ended) - self._limits.kept
        for number, job in enumerate(ended):
            if number < too_many or time.monotonic() - job.ended_at > self._limits.kept_seconds:
                del self._jobs[job.row.id]
                job.release()


class SessionJobs:
    """One session's view of the table: implements `Jobs`."""

    def __init__(self, table: JobTable, session: str) -> None:
        self._table = table
        self._session = session

    async def start(self, command: Command, *, title: str, kind: JobKind = "background", cwd: str = "") -> Job:
        """Run a command that outlives the call."""
        return await self._table.start(self._session, command, title=title, kind=kind, cwd=cwd)

    async def keep(self, process: Process, *, title: str, cwd: str = "") -> Job:
        """Keep a finished process's output readable after its call."""
        return await self._table.keep(self._session, process, title=title, cwd=cwd)

    async def get(self, id: str) -> Job:
        """One of the session's jobs. Raises `NotFound`."""
        running = self._table.find(id)
        if running and running.row.session == self._session:
            return running
        jobs = await self.list()
        for job in jobs:
            if job.row.id == id:
                return job
        known = ", ".join(job.row.id for job in jobs) or "none"
        raise NotFound(f"there is no job {id!r}; this session has {known}")

    async def list(self) -> list[Job]:
        """All of the session's jobs, oldest first."""
        rows = await self._table.rows(self._session)
        return [self._table.find(row.id) or StoredJob(row) for row in rows]
