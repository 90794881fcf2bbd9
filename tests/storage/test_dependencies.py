"""When tasks may begin, and how trees of them grow, on SQLite."""

from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Cancel, Finish, ForgetSession, Redo
from autohands.protocols.storage import Lease
from autohands.sdk.identity import now_ms
from autohands.storage import Store
from autohands.testing.contracts.durable import Durable
from autohands.testing.contracts.queues import BoundsContract
from storage.stores import serving, soon, submit, tables

DONE = Finish(state="done", reason="done")


@pytest.fixture
def durable(store: Store) -> Durable:
    return Durable(store, store.journal, store.engine)


class TestBounds(BoundsContract):
    pass


def held(path: Path) -> int:
    with tables(path) as connection:
        count: int = connection.execute("SELECT count(*) FROM dependency").fetchone()[0]
        return count


async def test_what_a_task_comes_after_outlives_the_program(path: Path) -> None:
    async with storage.open(path) as store:
        first = await submit(store)
        last = await submit(store, after=(first.id,))
    async with storage.open(path) as store:
        ran: list[str] = []

        async def handler(lease: Lease) -> None:
            ran.append(lease.record.id)
            await lease.commit(DONE)

        async with serving(store, handler):

            async def ended() -> bool:
                return (await store.task(last.id)).finished

            await soon(ended)
        assert ran == [first.id, last.id]
    assert held(path) == 0


async def test_rows_go_with_the_tasks_that_they_hold(store: Store) -> None:
    first, path = await submit(store), store._database.path
    records = [await submit(store, after=(first.id,)) for _ in range(2)]
    assert held(path) == 2
    await store.commit(Cancel(task=records[0].id))
    assert held(path) == 1
    await store.commit(Cancel(task=first.id))
    assert held(path) == 0
    await store.commit(ForgetSession(session=first.session))
    assert (await store.task(records[1].id)).state == "ready"


async def test_what_failed_and_runs_again_holds_nobody_a_second_time(store: Store) -> None:
    first = await submit(store)
    after = await submit(store, after=(first.id,))
    with tables(store._database.path) as connection:
        connection.execute("UPDATE task SET deadline = 1 WHERE id = ?", (first.id,))

    async def handler(lease: Lease) -> None:
        await lease.commit(DONE)

    async with serving(store, handler, queues=lambda: ("none",)):

        async def failed() -> bool:
            return (await store.task(first.id)).state == "failed"

        await soon(failed)
    with tables(store._database.path) as connection:
        connection.execute("UPDATE task SET deadline = NULL")
    assert (await store.commit(Redo(task=first.id)))[0].state == "ready"
    assert (await store.task(after.id)).state == "ready"


async def test_a_task_that_stays_delayed_for_another_needs_no_look(store: Store) -> None:
    """Its time is over and the other one is not: it is woken by that, and not looked at again and again."""
    first = await submit(store, queue="by hand")
    after = await submit(store, after=(first.id,), not_before=now_ms() + 20)

    async def handler(lease: Lease) -> None:
        await lease.commit(DONE)

    async with serving(store, handler):

        async def timeless() -> bool:
            return (await store.task(after.id)).run_at == 0

        await soon(timeless)
        assert (await store.task(after.id)).state == "delayed"
        await store.commit(Cancel(task=first.id))

        async def ended() -> bool:
            return (await store.task(after.id)).finished

        await soon(ended)
