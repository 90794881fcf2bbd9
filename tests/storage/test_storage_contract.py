"""The conformance classes of `Storage`, `Journal` and `Engine`, on SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.testing.contracts.durable import Durable
from autohands.testing.contracts.engine import EngineContract
from autohands.testing.contracts.journal import JournalContract
from autohands.testing.contracts.storage import StorageContract


@pytest.fixture
async def durable(tmp_path: Path) -> AsyncIterator[Durable]:
    async with storage.open(tmp_path / "home" / "autohands.db") as store:
        yield Durable(store, store.journal, store.engine)


class TestStorage(StorageContract):
    pass


class TestJournal(JournalContract):
    pass


class TestEngine(EngineContract):
    pass
