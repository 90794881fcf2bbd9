"""The ledger: what a cap forbids leaves no trace in the purses; shares are put aside and come back."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from autohands.protocols.changes import Cancel, Enqueue, Finish, Redo, Reserve, Settle, Tell
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.messages import Usage
from autohands.protocols.schedule import Due, Fire, SaveSchedule, Schedule
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task, TaskRecord
from autohands.storage import Store
from storage.stores import leased, serving, soon, submit, tables

CAPS: dict[str, int | None] = dict.fromkeys(("run_cap", "day_cap", "month_cap", "session_cap", "agent_cap"))


def reserve(key: str, micro_usd: int, **caps: int | None) -> Reserve:
    merged: dict[str, Any] = CAPS | caps
    return Reserve(key=key, micro_usd=micro_usd, **merged)


def settle(key: str, micro_usd: int) -> Settle:
    return Settle(key=key, micro_usd=micro_usd, usage=Usage(1, 1), model="m")


class Leases:
    """The leases of all that runs, by task and attempt."""

    def __init__(self) -> None:
        self._claimed: dict[tuple[str, int], asyncio.Future[Lease]] = defaultdict(asyncio.Future)
        self.over = asyncio.Event()

    async def __call__(self, record: TaskRecord, attempt: int = 1) -> Lease:
        return await self._claimed[record.id, attempt]

    async def handle(self, lease: Lease) -> None:
        self._claimed[lease.record.id, lease.attempt].set_result(lease)
        await self.over.wait()


@pytest.fixture
async def leases(store: Store) -> AsyncIterator[Leases]:
    """Whatever is submitted runs, by hand."""
    leases = Leases()
    async with serving(store, leases.handle, slots=20):
        yield leases
        leases.over.set()


async def child_of(store: Store, parent: TaskRecord, budget: int | None = None) -> TaskRecord:
    return await submit(store, parent=parent.id, budget_micro_usd=budget)


@pytest.mark.parametrize("cap", list(CAPS))
async def test_bu01_a_refused_reservation_leaves_room_for_a_smaller_one(store: Store, cap: str) -> None:
    record = await submit(store, agent="general")
    async with leased(store, record.id) as lease:
        changes = [reserve(key, amount, **{cap: 100}) for key, amount in (("a", 60), ("b", 41), ("c", 40), ("d", 1))]
        assert await lease.commit(*changes) == [True, False, True, False]
    assert await store.spent(record.id) == await store.spent() == 100


async def test_bu01_a_schedule_has_a_cap_for_a_day_which_its_childrens_calls_count_in(store: Store) -> None:
    task = Task(prompt="go", source="schedule")
    schedule = Schedule(name="nightly", kind="interval", when="1h", task=task)
    await store.commit(SaveSchedule(schedule=schedule, next_at=1000))
    fire = Fire(name="nightly", expected=1000, due=(Due(at=1000, state="fired"),), next_at=5000)
    ((occurrence,),) = await store.commit(fire)
    record = await store.task(occurrence.task)
    async with leased(store, record.id) as lease:
        assert await lease.commit(reserve("a", 60, schedule_cap=100)) == [True]
        child = await child_of(store, record, 90)
    async with leased(store, child.id) as lease:
        assert await lease.commit(reserve("b", 41, schedule_cap=100), reserve("c", 40, schedule_cap=100)) == [
            *(False, True)
        ]
    (cost,) = await store.costs("schedule", "2000-01-01")
    assert (cost.key, cost.reserved, cost.calls, cost.runs) == ("nightly", 100, 2, 1)


async def test_bu07_a_childs_share_is_put_aside_and_what_it_did_not_spend_comes_back(
    store: Store, leases: Leases
) -> None:
    lease = await leases(parent := await submit(store))
    await lease.commit(reserve("a", 20, run_cap=100), settle("a", 20))
    own = await leases(child := await child_of(store, parent, 50))
    assert child.task.budget_micro_usd == 50
    assert await store.spent(parent.id) == 70
    assert await lease.commit(reserve("b", 31, run_cap=100), reserve("b", 30, run_cap=100)) == [False, True]
    assert await own.commit(reserve("c", 51, run_cap=1000), reserve("c", 45, run_cap=1000)) == [False, True]
    await own.commit(settle("c", 10), Finish(state="done", reason="done"))
    assert await store.spent(child.id) == 10
    assert await store.spent(parent.id) == 60
    assert await lease.commit(reserve("d", 41, run_cap=100), reserve("d", 40, run_cap=100)) == [False, True]
    assert await store.spent() == 20 + 30 + 10 + 40


async def test_bu07_a_child_that_asks_for_more_gets_what_is_left_and_one_that_asks_nothing_a_part(
    store: Store, leases: Leases
) -> None:
    lease = await leases(parent := await submit(store))
    await lease.commit(reserve("a", 20, run_cap=100), settle("a", 20))
    shares = [(await child_of(store, parent, asked)).task.budget_micro_usd for asked in (None, 1000, None, 5)]
    assert shares == [20, 60, 0, 0]
    assert await store.spent(parent.id) == 100


async def test_bu07_where_nothing_limits_the_parent_a_child_spends_from_its_purse(store: Store, leases: Leases) -> None:
    lease = await leases(parent := await submit(store))
    await lease.commit(reserve("a", 20))
    free, held = await child_of(store, parent), await child_of(store, parent, 50)
    assert (free.task.budget_micro_usd, held.task.budget_micro_usd) == (None, 50)
    assert await (await leases(free)).commit(reserve("b", 500)) == [True]
    assert await store.spent(parent.id) == await store.spent(free.id) == 570


async def test_bu07_what_a_grandchild_did_not_spend_comes_back_though_its_parent_ended_first(
    store: Store, leases: Leases
) -> None:
    lease = await leases(top := await submit(store))
    await lease.commit(reserve("a", 10, run_cap=100), settle("a", 10))
    middle = await leases(child := await child_of(store, top, 80))
    own = await leases(await child_of(store, child, 50))
    await own.commit(reserve("b", 7), settle("b", 7))
    assert await store.spent(top.id) == 90
    await middle.commit(Finish(state="failed", reason="failed"))
    assert await store.spent(top.id) == 60
    await own.commit(Finish(state="done", reason="done"))
    assert await store.spent(top.id) == 17


async def test_bu07_who_is_cancelled_with_all_beneath_it_gives_everything_back(store: Store, leases: Leases) -> None:
    lease = await leases(top := await submit(store))
    await lease.commit(reserve("a", 10, run_cap=100), settle("a", 10))
    child = await child_of(store, top, 80)
    grandchild = await child_of(store, child, 50)
    await store.commit(Cancel(task=child.id))

    async def ended() -> bool:
        return {(await store.task(each.id)).state for each in (child, grandchild)} == {"cancelled"}

    await soon(ended)
    assert await store.spent(top.id) == 10


async def test_bu07_a_child_that_goes_on_after_its_end_gets_no_more_than_its_parent_has(
    store: Store, leases: Leases
) -> None:
    lease = await leases(parent := await submit(store))
    await lease.commit(reserve("a", 10, run_cap=100), settle("a", 10))
    own = await leases(child := await child_of(store, parent, 60))
    await own.commit(reserve("b", 20), settle("b", 20), Finish(state="failed", reason="failed"))
    await lease.commit(reserve("c", 55, run_cap=100), settle("c", 55))
    await store.commit(Redo(task=child.id))
    assert await store.spent(parent.id) == 100, "fifteen are left: all of them are its"
    own = await leases(child, 2)
    assert await own.commit(reserve("d", 16), reserve("d", 15)) == [False, True]
    await own.commit(settle("d", 5), Finish(state="done", reason="done"))
    assert await store.spent(parent.id) == 90


async def test_bu07_a_tree_has_a_size_of_its_own(store: Store) -> None:
    top = await submit(store)
    made = [top]
    for _ in range(3):
        change = Enqueue(task=Task(prompt="more", parent=made[-1].id), descendants=3)
        made += await store.commit(change)
    with pytest.raises(BadRequest, match="3 tasks in all"):
        await store.commit(Enqueue(task=Task(prompt="more", parent=top.id), descendants=3))
    other = await submit(store)
    await store.commit(Enqueue(task=Task(prompt="more", parent=other.id), descendants=3))


async def test_a_parent_speaks_to_its_own_children_only_and_once_for_each_key(store: Store) -> None:
    parent, stranger = await submit(store), await submit(store)
    child = await child_of(store, parent)
    for key in ("k", "k", "l"):
        await store.commit(Tell(task=child.id, parent=parent.id, text=key, key=key))
    assert [word.text for word in await store.words(child.id)] == ["k", "l"]
    with pytest.raises(NotFound):
        await store.commit(Tell(task=child.id, parent=stranger.id, text="x", key="m"))
    await store.commit(Cancel(task=child.id))
    with pytest.raises(Conflict, match="has ended"):
        await store.commit(Tell(task=child.id, parent=parent.id, text="x", key="n"))
    assert [each.record.id for each in await store.children(parent.id)] == [child.id]
    assert await store.children(stranger.id) == []


async def test_an_old_file_keeps_what_it_has_counted(store: Store, path: Any) -> None:
    """The reservation of a task from before there were shares counts in its root's purse."""
    record = await submit(store)
    with tables(path) as connection:
        connection.execute("UPDATE task SET purse = NULL")
    async with leased(store, record.id) as lease:
        assert await lease.commit(reserve("a", 60, run_cap=100), reserve("b", 60, run_cap=100)) == [True, False]
    assert await store.spent(record.id) == 60


async def test_bu01_a_call_that_belongs_to_no_task_counts_in_the_day(store: Store) -> None:
    assert await store.commit(reserve("a", 60, day_cap=100), reserve("b", 60, day_cap=100)) == [True, False]
    await store.commit(settle("a", 5))
    assert await store.spent() == 5
    (cost,) = await store.costs("agent", "2000-01-01")
    assert (cost.key, cost.spent, cost.calls) == ("", 5, 1)
