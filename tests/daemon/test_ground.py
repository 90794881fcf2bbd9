"""The files a program stands on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from autohands.daemon.ground import Ground
from autohands.protocols.errors import StorageUnavailable


async def test_a_file_that_is_written_is_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    ground = Ground(path, every_seconds=0.01)
    path.write_text("22")
    ground.check()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ground.watch()


async def test_a_file_that_goes_or_is_replaced_is_noticed(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("1")
    other.write_text("1")
    ground = Ground(path, every_seconds=0.01)
    other.replace(path)
    with pytest.raises(StorageUnavailable, match="is another file now: nothing more can be kept"):
        ground.check()
    path.unlink()
    with pytest.raises(StorageUnavailable, match="is gone: nothing more can be kept"):
        async with asyncio.timeout(10):
            await ground.watch()
