"""A spawner with small limits to run into, and a witness of survivors."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from autohands.protocols.process import Limits
from autohands.sandbox.profiles import PROFILES
from autohands.sandbox.spawn import Spawner
from sandbox.witness import Witness

SMALL = Limits(memory_bytes=192 << 20, file_bytes=1 << 20, processes=30)


@pytest.fixture
async def spawn(tmp_path: Path) -> AsyncIterator[Spawner]:
    async with Spawner(tmp_path, profiles={**PROFILES, "small": SMALL}) as spawner:
        yield spawner


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    watching = Witness(tmp_path / "witness")
    yield watching
    watching.close()
