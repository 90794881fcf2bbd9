"""Tasks that rest, on SQLite: paused in whatever state, put off after faults and crashes."""

import asyncio
import itertools
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import BackOff, Finish, Park, Pause, Redo
from autohands.protocols.errors import Fenced
from autohands.protocols.storage import Lease
from autohands.storage import Store
from autohands.storage.resting import LONGEST_SECONDS, delay_seconds
from autohands.testing.contracts.durable import Durable
from autohands.testing.contracts.resting import RestingContract
from storage.stores import leased, serving, soon, submit, tables

DONE = Finish(state="done", reason="done")


@pytest.fixture
def durable(store: Store) -> Durable:
    return Durable(store, store.journal, store.engine)


class TestResting(RestingContract):
    pass


def kill(path: Path) -> None:
    """Make every executor look as if its process were gone."""
    with tables(path) as connection:
        connection.execute("UPDATE executor SET born = 'then'")


async def nothing(lease: Lease) -> None:
    await lease.commit(DONE)


@pytest.mark.parametrize("time", range(1, 13))
def test_each_wait_is_longer_bounded_and_the_same_for_the_same(time: int) -> None:
    whole = min(2.0 ** (time - 1), LONGEST_SECONDS)
    delays = {delay_seconds(f"task_{number}", time) for number in range(50)}
    assert len(delays) == 50
    assert all(whole / 2 <= each <= whole for each in delays)
    assert delay_seconds("task_1", time) == delay_seconds("task_1", time)


async def test_a_running_task_is_paused_from_another_program(path: Path) -> None:
    async with storage.open(path) as here, storage.open(path) as there:
        record = await submit(here)
        async with leased(here, record.id) as lease:
            assert (await there.commit(Pause(task=record.id)))[0].state == "running"

            async def told() -> bool:
                return lease.pausing

            await soon(told)
            await lease.commit(Park(reason="paused", waits=()))
        assert (await there.task(record.id)).state == "paused"


async def test_a_look_that_knows_nothing_of_it_takes_no_pause_back(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        store.engine.changed()  # whoever looks now does so before the pause is committed, and hears of it after
        await asyncio.sleep(0)
        await store.commit(Pause(task=record.id))
        await submit(store)
        await asyncio.sleep(0)
        assert lease.pausing
        await lease.commit(DONE)


async def test_what_a_dead_program_ran_rests_at_once_and_its_zombie_is_fenced_off(path: Path) -> None:
    async with storage.open(path) as here, storage.open(path) as there:
        record = await submit(here)
        async with leased(here, record.id) as zombie:
            kill(path)
            assert (await there.commit(Pause(task=record.id)))[0].state == "paused"
            with pytest.raises(Fenced):
                await zombie.commit(DONE)
        assert (await there.commit(Redo(task=record.id)))[0].state == "ready"


@pytest.mark.parametrize("stop", ["stopped", "killed"])
async def test_what_is_to_rest_rests_when_its_program_ends(path: Path, stop: str) -> None:
    async with storage.open(path) as here, storage.open(path) as there:
        record = await submit(here)
        async with leased(here, record.id):
            await there.commit(Pause(task=record.id))
            if stop == "killed":
                kill(path)
                async with serving(there, nothing, queues=lambda: ("none",)):

                    async def paused() -> bool:
                        return (await there.task(record.id)).state == "paused"

                    await soon(paused)
        assert (await there.task(record.id)).state == "paused"


async def test_the_first_crash_is_followed_at_once_and_each_further_one_later(path: Path) -> None:
    async with storage.open(path) as one, storage.open(path) as two:
        record = await submit(one, max_attempts=9, session="s")
        behind = await submit(one, session="s")
        waits: list[int] = []
        for crashes in itertools.count(1):
            async with leased(one, record.id):
                kill(path)
                async with serving(two, nothing, queues=lambda: ("none",)):

                    async def released() -> bool:
                        return (await two.task(record.id)).state != "running"

                    await soon(released)
            found = await two.task(record.id)
            assert found.crashes == crashes
            assert (await two.task(behind.id)).state == "blocked"
            if found.state == "ready":
                waits.append(0)
                continue
            assert (found.state, found.reason) == ("waiting", "backoff")
            waits.append(found.run_at - found.updated)
            if crashes == 3:
                break
            await two.commit(Redo(task=record.id))
        expected = [0, *(round(1000 * delay_seconds(record.id, time)) for time in (1, 2))]
        assert waits == expected


async def test_a_pause_wakes_nobody_who_waits_for_nothing(store: Store) -> None:
    record = await submit(store)
    await store.commit(Pause(task=record.id))
    ran: list[str] = []

    async def handler(lease: Lease) -> None:
        ran.append(lease.record.id)
        await lease.commit(DONE)

    async with serving(store, handler):
        other = await submit(store)

        async def ended() -> bool:
            return (await store.task(other.id)).finished

        await soon(ended)
        await asyncio.sleep(0)
    assert ran == [other.id]


@pytest.mark.parametrize(("put_off", "ran"), [(0, 0), (1, 1)])
async def test_ti04_a_task_put_off_before_the_clock_was_set_back_runs(
    store: Store, path: Path, put_off: int, ran: int
) -> None:
    """`put_off` years after now: then its next time is in that year too."""
    record = await submit(store)
    async with leased(store, record.id) as lease:
        await lease.commit(BackOff(error="busy", delay_seconds=3600))
    with tables(path) as connection:
        connection.execute("UPDATE task SET updated = updated + ?", (put_off * 365 * 86_400_000,))
    async with serving(store, nothing):
        await store.engine.serve(nothing, slots=1, root=(await submit(store)).id)
        assert (await store.task(record.id)).finished == bool(ran)
