"""The memory contract, against the backend in memory."""

import pytest

from autohands.testing.contracts.memory import MemoryContract
from autohands.testing.memory import MemoryInMemory


class TestMemoryInMemory(MemoryContract):
    @pytest.fixture
    def memory(self) -> MemoryInMemory:
        return MemoryInMemory()
