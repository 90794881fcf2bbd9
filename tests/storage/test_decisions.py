"""The conformance class of decisions, on SQLite; and what only SQLite can do wrong."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import DecideStep, RecordStep
from autohands.protocols.records import Step
from autohands.storage import Store
from autohands.testing.contracts.decisions import DecisionsContract, asked, effect
from autohands.testing.contracts.durable import Durable

from .stores import leased, submit, tables


@pytest.fixture
async def durable(tmp_path: Path) -> AsyncIterator[Durable]:
    async with storage.open(tmp_path / "home" / "autohands.db") as store:
        yield Durable(store, store.journal, store.engine)


class TestDecisions(DecisionsContract):
    pass


async def test_cr02_a_task_whose_program_is_dead_can_be_decided_about_at_once(store: Store, path: Path) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        lease.note(asked())
        await lease.commit(RecordStep(step=effect("started")))
        with tables(path) as connection:
            connection.execute("UPDATE executor SET pid = 999999, born = 'gone'")
        (decided,) = await store.commit(DecideStep(task=record.id, decision="skip", by="owner"))
        assert decided.state == "ready"
        steps: list[Step] = await store.steps(record.id)
        assert [step.status for step in steps] == ["done", "failed"]
