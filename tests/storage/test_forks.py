"""The conformance class of forks, on SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.testing.contracts.durable import Durable
from autohands.testing.contracts.forks import ForksContract


@pytest.fixture
async def durable(tmp_path: Path) -> AsyncIterator[Durable]:
    async with storage.open(tmp_path / "home" / "autohands.db") as store:
        yield Durable(store, store.journal, store.engine)


class TestForks(ForksContract):
    pass
