"""A store on a fresh file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "autohands.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[storage.Store]:
    async with storage.open(path) as store:
        yield store
