"""Schedules as rows: what SQLite does with them, beyond the contract."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from pathlib import Path

import pytest

from autohands.protocols.errors import BadRequest, Conflict
from autohands.protocols.schedule import Due, Fire, ResumeSchedule, Schedule
from autohands.protocols.task import Task
from autohands.protocols.upkeep import Retention
from autohands.storage import Store, endings, tasks
from autohands.storage.schedules import FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS
from autohands.storage.transaction import Transaction
from autohands.testing.contracts.durable import Durable
from autohands.testing.contracts.schedules import FAILED, MINUTE, T0, finish, fire, minutely, save
from storage.stores import tables


@pytest.fixture
def durable(store: Store) -> Durable:
    return Durable(store, store.journal, store.engine)


async def test_a_workspace_is_looked_up_when_it_is_saved_and_not_when_it_fires(
    durable: Durable, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "link").symlink_to(place)
    await save(durable, minutely(task=Task(prompt="x", workspace=str(tmp_path / "link"))))
    (tmp_path / "link").unlink()
    shutil.rmtree(place)
    (occurrence,) = await fire(durable)
    task = (await durable.storage.task(occurrence.task or "")).task
    assert task.workspace == os.path.realpath(place)


async def test_a_workspace_that_is_not_there_is_refused_when_it_is_saved(durable: Durable, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="workspace"):
        await save(durable, minutely(task=Task(prompt="x", workspace=str(tmp_path / "nowhere"))))
    assert await durable.storage.schedules.all() == []


async def test_back_off_doubles_up_to_a_day(durable: Durable, path: Path) -> None:
    await save(durable, minutely(max_failures=0))
    waits = []
    for number in range(14):
        (occurrence,) = await fire(durable, T0 + number * MINUTE)
        await finish(durable, occurrence.task, FAILED)
        record = await durable.storage.schedules.get("tick")
        ended = (await durable.storage.task(occurrence.task or "")).ended or 0
        waits.append((record.backoff_until or 0) - ended)
        with tables(path) as connection:  # as if that time were over
            connection.execute("UPDATE schedule SET backoff_until = 1")
    assert waits == [min(FIRST_BACKOFF_MS << number, LONGEST_BACKOFF_MS) for number in range(14)]


async def test_a_wait_that_ends_in_days_is_a_clock_that_was_put_back(durable: Durable, path: Path) -> None:
    await save(durable, minutely())
    with tables(path) as connection:
        connection.execute("UPDATE schedule SET failures = 1, backoff_until = ?", (T0 * 2,))
    assert [each.state for each in await fire(durable)] == ["fired"]


async def test_an_alert_that_cannot_be_sent_ends_the_task_all_the_same(durable: Durable) -> None:
    await save(durable, minutely(max_failures=1, task=Task(prompt="x", reply_address="nonsense")))
    (occurrence,) = await fire(durable)
    await finish(durable, occurrence.task, FAILED)
    assert (await durable.storage.schedules.get("tick")).state == "paused"
    assert (await durable.storage.task(occurrence.task or "")).state == "failed"


async def failing(durable: Durable) -> str:
    """A task whose failure pauses its schedule."""
    await save(durable, minutely(max_failures=1))
    (occurrence,) = await fire(durable)
    return occurrence.task or ""


def refused(tx: Transaction) -> None:
    raise Conflict("not now")


async def test_bu08_an_alert_is_logged_once_though_its_unit_is_run_twice(
    store: Store, durable: Durable, caplog: pytest.LogCaptureFixture
) -> None:
    task, gate, times = await failing(durable), threading.Event(), list[int]()

    def end(tx: Transaction) -> None:
        times.append(tx.now)
        endings.end(tx, FAILED, tasks.key_of(tx.connection, task))

    write = store._database.write
    waiting = asyncio.ensure_future(write(lambda tx: gate.wait(20)))
    group = asyncio.gather(write(end), write(refused), return_exceptions=True)
    await asyncio.sleep(0)
    gate.set()
    await waiting
    assert isinstance((await group)[1], Conflict)
    assert len(times) == 2
    assert [record.levelname for record in caplog.records if "is paused" in record.message] == ["ERROR"]


async def test_bu08_an_alert_of_a_unit_that_was_refused_is_not_logged(
    store: Store, durable: Durable, caplog: pytest.LogCaptureFixture
) -> None:
    task = await failing(durable)

    def end(tx: Transaction) -> None:
        endings.end(tx, FAILED, tasks.key_of(tx.connection, task))
        refused(tx)

    with pytest.raises(Conflict):
        await store._database.write(end)
    assert "is paused" not in caplog.text


async def test_bu08_many_failures_side_by_side_give_one_alert(store: Store, durable: Durable) -> None:
    await save(durable, minutely(max_failures=1, overlap="allow", task=Task(prompt="x", reply_address="c:t")))
    made = [(await fire(durable, T0 + number * MINUTE))[0].task for number in range(3)]
    for task in made:
        await finish(durable, task, FAILED)
    assert sum("is paused" in message.text for message in await store.outbox.all()) == 1
    assert (await store.schedules.get("tick")).failures == 3


async def test_ti04_a_time_whose_row_was_too_old_to_be_kept_is_not_fired_again(store: Store, durable: Durable) -> None:
    await save(durable, minutely(overlap="allow"))
    for number in range(5):
        await fire(durable, T0 + number * MINUTE)
    assert (await store.retain(Retention(occurrences=2))).occurrences == 3
    with tables(store._database.path) as connection:
        connection.execute("DELETE FROM task")  # its sessions are gone too
    await store.commit(Fire(name="tick", expected=T0 + 5 * MINUTE, due=(), next_at=T0))  # the clock was put back
    times = [T0 - MINUTE, *(T0 + number * MINUTE for number in range(6))]
    written = await fire(durable, dues=tuple(Due(at=at) for at in times))
    assert [each.at for each in written] == [T0 + 5 * MINUTE]


async def test_a_schedule_that_came_back_is_not_fired_for_a_time_that_was(durable: Durable, path: Path) -> None:
    """Removed with its history, added again: the task's key is still taken."""
    await save(durable, minutely())
    (first,) = await fire(durable)
    await finish(durable, first.task)
    await save(durable, Schedule(name="tick", kind="cron", when="* * * * *", task=Task(prompt="else")), replace=True)
    with tables(path) as connection:
        connection.execute("DELETE FROM occurrence")
    (again,) = await fire(durable)
    assert (again.state, "idempotency key" in again.reason) == ("missed", True)


async def test_what_is_asked_at_each_look_uses_an_index(durable: Durable, path: Path) -> None:
    await save(durable, minutely())
    queries = (
        "SELECT name FROM schedule WHERE state = 'active' AND next_at <= 5 ORDER BY next_at LIMIT 9",
        "SELECT min(next_at) FROM schedule WHERE state = 'active' AND next_at IS NOT NULL",
        "SELECT id FROM task WHERE occurrence = 'x' AND ended IS NULL ORDER BY seq",
        "SELECT at FROM occurrence WHERE schedule = 'x' ORDER BY at DESC LIMIT 9",
    )
    with tables(path) as connection:
        for query in queries:
            plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
            assert "SEARCH" in plan, plan
            assert "SCAN" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan


async def test_a_fire_that_comes_too_late_writes_nothing(durable: Durable) -> None:
    await save(durable, minutely())
    await fire(durable)
    assert await fire(durable) == []
    assert (await durable.storage.commit(Fire(name="nobody", expected=T0, due=(), next_at=None)))[0] == []
    (record,) = await durable.storage.commit(ResumeSchedule(name="tick", next_at=T0))
    assert record.next_at == T0 + MINUTE
