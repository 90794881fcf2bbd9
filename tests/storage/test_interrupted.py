"""Tasks whose program is gone are told apart from those that somebody works on, and can be ended."""

from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Cancel
from autohands.protocols.errors import NotFound
from autohands.sdk.identity import new_id, now_ms
from storage.stores import leased, submit, tables


async def test_a_running_task_is_interrupted_when_its_program_is_gone_and_cancelling_ends_it(path: Path) -> None:
    async with storage.open(path) as here, storage.open(path) as there:
        living, dead = await submit(here), await submit(here)
        async with leased(here, living.id), leased(here, dead.id) as lease:
            assert await there.interrupted() == []
            with tables(path) as rows:
                rows.execute("INSERT INTO executor SELECT 'exe_x', host, boot, pid, 'x', 0, 0 FROM executor LIMIT 1")
                rows.execute("UPDATE task SET lease_owner = 'exe_x' WHERE id = ?", (lease.record.id,))
            assert await there.interrupted() == [dead.id]
            assert (await there.commit(Cancel(task=living.id)))[0].state == "running"
            assert (await there.commit(Cancel(task=dead.id)))[0].state == "cancelled"


async def test_a_task_that_stays_in_the_queue_of_one_program_is_interrupted(path: Path) -> None:
    async with storage.open(path) as store:
        fresh, stale = [await submit(store, queue=new_id("hands")) for _ in range(2)]
        shared = await submit(store)
        with tables(path) as rows:
            rows.execute(
                "UPDATE task SET updated = ?1, run_at = ?1 WHERE id IN(?2, ?3)",
                (now_ms() - 60_000, stale.id, shared.id),
            )
        assert await store.interrupted() == [stale.id]
        assert fresh.state == "ready"


async def test_what_waits_for_nobody_in_particular_is_not_interrupted(path: Path) -> None:
    async with storage.open(path) as store:
        for queue in ("default", "background"):
            await submit(store, queue=queue)
            await submit(store, queue=queue, not_before=now_ms() + 60_000)
        with tables(path) as rows:
            rows.execute("UPDATE task SET updated = 1, run_at = 1")
        assert await store.interrupted() == []


async def test_what_waits_behind_a_living_program_s_task_is_not_interrupted(path: Path) -> None:
    async with storage.open(path) as store:
        queue = new_id("hands")
        running, ready = await submit(store, queue=queue), await submit(store, queue=queue)
        due = await submit(store, queue=queue, not_before=now_ms() + 60_000)
        async with leased(store, running.id):
            with tables(path) as rows:
                rows.execute("UPDATE task SET updated = 1, run_at = 1 WHERE id IN(?, ?)", (ready.id, due.id))
            assert await store.interrupted() == []
            with tables(path) as rows:
                rows.execute("UPDATE executor SET born = 'then'")
            assert await store.interrupted() == [running.id, ready.id, due.id]


async def test_a_session_is_found_by_the_beginning_of_its_id(path: Path) -> None:
    async with storage.open(path) as store:
        session = (await submit(store)).session
        assert (await store.session(session[:30])).id == session
        for wrong in (session[:8], f"{session[:30]}x"):
            with pytest.raises(NotFound):
                await store.session(wrong)
