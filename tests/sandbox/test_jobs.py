"""Jobs of sessions: durable rows, one session's view, room, lifetime, and what a restart finds."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands.protocols.errors import Conflict, NotFound, StorageUnavailable, TooBusy
from autohands.protocols.process import Command, Job, JobRow
from autohands.sandbox.jobs import JobLimits, JobTable
from autohands.sandbox.spawn import Spawner
from sandbox.rows import RowsInMemory
from sandbox.witness import Witness

LIMITS = JobLimits(running=3, running_in_session=2, lifetime_seconds=600, kept=1)


@pytest.fixture
def store() -> RowsInMemory:
    return RowsInMemory()


@pytest.fixture
async def table(spawn: Spawner, store: RowsInMemory) -> AsyncIterator[JobTable]:
    async with JobTable(spawn, store, limits=LIMITS) as jobs:
        yield jobs


def shell(script: str, **options: object) -> Command:
    return Command(argv=("bash", "-c", script), **options)  # type: ignore[arg-type]


async def until(job: Job, status: str) -> JobRow:
    async with asyncio.timeout(20):
        while job.row.status != status:
            await asyncio.sleep(0.005)
    return job.row


async def test_sh19_a_job_runs_is_read_and_ends(table: JobTable, store: RowsInMemory) -> None:
    jobs = table.of("one")
    job = await jobs.start(shell("read x; echo got $x; exit 4", stdin="pipe"), title="read", cwd="/somewhere")
    assert (job.row.status, job.row.command, job.row.cwd, job.row.kind) == (
        "running",
        "read",
        "/somewhere",
        "background",
    )
    assert (await store.jobs("one"))[0].pid == job.row.pid > 0
    assert job.process is not None
    await job.process.write(b"this\n")
    await job.process.wait()
    row = await until(job, "exited")
    assert (row.exit_code, row.output_tail, row.output_total, row.reason) == (4, "got this\n", 9, "exited")
    assert (await store.jobs("one")) == [row]
    assert (await jobs.get(row.id)).process is job.process


async def test_sh19_killing_a_job_is_recorded(table: JobTable, witness: Witness) -> None:
    job = await table.of("one").start(shell(f"{witness.shell} setsid sleep 600 & echo on; wait"), title="t")
    assert job.process is not None
    await job.process.grown(0)
    await job.process.terminate()
    await witness.nobody_lives(5)
    assert (await until(job, "exited")).reason == "cancelled"


async def test_a_session_sees_only_its_own(table: JobTable) -> None:
    job = await table.of("one").start(shell("sleep 600"), title="mine")
    assert [each.row.id for each in await table.of("one").list()] == [job.row.id]
    assert await table.of("two").list() == []
    with pytest.raises(NotFound, match="this session has none"):
        await table.of("two").get(job.row.id)
    with pytest.raises(NotFound, match=job.row.id):
        await table.of("one").get("job_other")


async def test_sh19_there_is_room_for_so_many(table: JobTable) -> None:
    started = [await table.of("one").start(shell("sleep 600"), title="t") for _ in range(2)]
    with pytest.raises(TooBusy, match="this session"):
        await table.of("one").start(shell("sleep 600"), title="t")
    await table.of("two").start(shell("sleep 600"), title="t")
    with pytest.raises(TooBusy, match="all sessions"):
        await table.of("three").start(shell("sleep 600"), title="t")
    assert started[0].process is not None
    await started[0].process.terminate()
    await until(started[0], "exited")
    await table.of("three").start(shell("sleep 600"), title="t")


async def test_sh19_a_job_has_a_lifetime(spawn: Spawner, store: RowsInMemory) -> None:
    async with JobTable(spawn, store, limits=JobLimits(lifetime_seconds=0.2)) as table:
        job = await table.of("one").start(shell("sleep 600", timeout_seconds=900), title="t")
        assert (await until(job, "exited")).reason == "timeout"


async def test_sh19_closing_ends_jobs_and_records_it(spawn: Spawner, store: RowsInMemory, witness: Witness) -> None:
    async with JobTable(spawn, store) as table:
        job = await table.of("one").start(shell(f"{witness.shell} echo last words; sleep 600"), title="t")
        assert job.process is not None
        await job.process.grown(0)
    await witness.nobody_lives(5)
    (row,) = await store.jobs()
    assert (row.status, row.reason, row.output_tail) == ("exited", "cancelled", "last words\n")
    assert row.ended is not None


async def test_sh19_after_a_restart_what_ran_is_lost_with_its_last_output(spawn: Spawner, store: RowsInMemory) -> None:
    gone = JobRow(id="job_1", session="one", executor="exe_old", command="c", pid=2**22, born="1", output_tail="so far")
    done = JobRow(id="job_2", session="one", executor="exe_old", command="c", status="exited", exit_code=0, started=1)
    await store.save_job(gone)
    await store.save_job(done)
    async with JobTable(spawn, store) as table:
        first, second = await table.of("one").list()
    assert (first.row.status, first.row.reason, first.row.output_tail) == ("lost", "lost", "so far")
    assert (first.process, second.row.status) == (None, "exited")
    assert (await store.jobs())[0].status == "lost"


async def test_sh19_what_another_living_program_runs_is_not_lost(spawn: Spawner, store: RowsInMemory) -> None:
    async with JobTable(spawn, store) as table, JobTable(spawn, store) as other:
        job = await other.of("one").start(shell("sleep 600"), title="t")
        (seen,) = await table.of("one").list()
        assert (seen.row.status, seen.process) == ("running", None)
        reused = JobRow(id="job_1", session="two", executor="x", command="c", pid=job.row.pid, born="another time")
        await store.save_job(reused)
        assert [each.row.status for each in await table.of("two").list()] == ["lost"]


async def test_output_of_a_finished_command_is_kept_and_the_oldest_given_back(spawn: Spawner, table: JobTable) -> None:
    kept = []
    for number in (1, 2):
        async with spawn(shell(f"read go; echo {number}; seq 1 100000", stdin="pipe")) as process:
            with pytest.raises(Conflict):
                await table.of("one").keep(process, title="early")
            await process.write(b"go\n")
            await process.captured()
            kept.append(await table.of("one").keep(process, title="late"))
    first, second = await table.of("one").list()
    assert (first.process, first.row.status, first.row.kind) == (None, "exited", "output")
    assert first.row.output_tail.endswith("100000\n")
    assert second.process is not None
    assert second.process.read(0, 2).data == b"2\n"


async def test_a_shell_moves(table: JobTable, store: RowsInMemory) -> None:
    job = await table.of("one").start(shell("sleep 600"), title="t", kind="shell", cwd="/a")
    await job.moved("/b")
    assert [row.cwd for row in await store.jobs()] == ["/b"]


class FullDisk(RowsInMemory):
    async def save_job(self, row: JobRow) -> None:
        raise StorageUnavailable("disk full")


async def test_a_job_that_cannot_be_recorded_does_not_run(spawn: Spawner, witness: Witness) -> None:
    async with JobTable(spawn, FullDisk()) as table:
        with pytest.raises(StorageUnavailable):
            await table.of("one").start(shell(f"{witness.shell} sleep 600"), title="t")
        assert not witness.somebody_lives()


PROGRAM = """
import asyncio, sys
from pathlib import Path
import msgspec
from autohands.protocols.process import Command, JobRow
from autohands.sandbox import jobs
from autohands.sandbox.spawn import Spawner

class Rows:
    async def save_job(self, row):
        print(msgspec.json.encode(row).decode(), flush=True)

async def main():
    async with Spawner(Path(sys.argv[1])) as spawn, jobs.JobTable(spawn, Rows()) as table:
        await table.of("one").start(Command(argv=("bash", "-c", sys.argv[2])), title="t")
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_sh19_a_job_of_a_killed_program_is_lost_with_what_it_said(
    tmp_path: Path, spawn: Spawner, store: RowsInMemory, witness: Witness
) -> None:
    from msgspec import json

    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path),
        f"{witness.shell} echo hello; sleep 600",
        stdout=-1,
        env=os.environ,
    )
    assert program.stdout is not None
    async with asyncio.timeout(30):
        while "hello" not in (row := json.decode(await program.stdout.readline(), type=JobRow)).output_tail:
            pass
    program.kill()
    await program.communicate()
    await witness.nobody_lives(5)
    await store.save_job(row)
    async with JobTable(spawn, store) as table:
        (job,) = await table.of("one").list()
    assert (job.row.status, job.row.output_tail) == ("lost", "hello\n")
