"""Rows of programs: they go when nothing is theirs any more."""

from pathlib import Path

import pytest

from autohands.storage import Store, claims, executors
from autohands.storage.claims import Scope, Who
from autohands.storage.executors import LEASE_MS, Identity
from autohands.storage.transaction import Transaction
from storage.stores import leased, submit, tables

ELSEWHERE = Identity("elsewhere/pid:[1]", "boot", 7, "1")
HERE = Who("exe_here", executors.this_process())


def look(tx: Transaction) -> None:
    claims.sweep(tx, HERE, Scope(tuple), free=0, foreign=False)


def known(path: Path) -> set[str]:
    with tables(path) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM executor")}


@pytest.mark.parametrize(("ago", "kept"), [(LEASE_MS + 1, False), (0, True)])
async def test_a_program_elsewhere_that_is_late_and_holds_nothing_is_forgotten(
    store: Store, path: Path, ago: int, *, kept: bool
) -> None:
    """A container that is made anew each time has another name each time, and nobody can say that it is gone."""

    def enlist(tx: Transaction) -> None:
        tx.now -= ago
        executors.enlist(tx, "exe_elsewhere", ELSEWHERE)

    await store._database.write(enlist)
    await store._database.write(look)
    assert known(path) == ({"exe_elsewhere"} if kept else set())


async def test_one_that_is_late_and_whose_process_is_still_watched_stays(store: Store, path: Path) -> None:
    with tables(path) as connection:
        connection.execute("INSERT INTO executor VALUES('exe_x', 'elsewhere', 'b', 7, '1', 0, 0)")
        connection.execute("INSERT INTO job VALUES('job_1', 's', 'exe_x', 'running', 0, x'')")
    await store._database.write(look)
    assert known(path) == {"exe_x"}


async def test_what_a_late_one_ran_is_taken_over_and_its_row_goes(store: Store, path: Path) -> None:
    record = await submit(store)
    async with leased(store, record.id):
        with tables(path) as connection:
            connection.execute("UPDATE executor SET host = 'elsewhere', lease_until = 1")
        await store._database.write(look)
        assert known(path) == set()
        assert (await store.task(record.id)).crashes == 1
