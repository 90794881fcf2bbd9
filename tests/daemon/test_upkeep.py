"""The daily upkeep: a copy a day, however often the program starts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import autohands
from autohands.daemon.upkeep import Upkeep


def copies(home: Path) -> list[Path]:
    return sorted((home / "backups").glob("*.db")) if (home / "backups").exists() else []


async def test_a_program_that_starts_again_and_again_does_not_drive_out_older_copies(
    home: Path, workspace: Path
) -> None:
    async with autohands.open(home, workspace, serve=False) as hands:
        upkeep = Upkeep(hands)
        for _ in range(3):
            await upkeep.look()
        (first,) = copies(home)
        yesterday = time.time() - 86_400
        os.utime(first, (yesterday, yesterday))
        await upkeep.look()
        assert len(copies(home)) == 2


async def test_without_backups_none_is_made(home: Path, workspace: Path) -> None:
    async with autohands.open(home, workspace, {"storage": {"backups": 0}}, serve=False) as hands:
        await Upkeep(hands).look()
    assert copies(home) == []
