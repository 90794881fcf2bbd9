"""The high-water mark: raised by every commit, never lowered, silent where it cannot be read."""

import asyncio
import os
from pathlib import Path

import pytest

from autohands import storage
from autohands.storage.mark import MARK, Height, Mark
from storage.stores import submit, tables

IDENTITY = "0123456789abcdef" * 2


@pytest.fixture
def mark(tmp_path: Path) -> Mark:
    mark = Mark(tmp_path / "mark")
    mark.open()
    return mark


def height(commits: int) -> Height:
    return Height(IDENTITY, commits, 7, 1_700_000_000_000)


def commits_of(path: Path) -> int:
    with tables(path) as connection:
        return int(connection.execute("SELECT value FROM meta WHERE key = 'commits'").fetchone()[0])


def marked(path: Path) -> Height:
    mark = Mark(path.with_name(MARK))
    mark.open()
    seen = mark.read()
    mark.close()
    assert seen is not None
    return seen


def test_a_mark_is_raised_and_never_lowered(mark: Mark) -> None:
    assert mark.read() is None
    for commits in (3, 5, 4):
        mark.reach(height(commits))
    assert mark.read() == height(5)
    mark.write(height(1))
    assert mark.read() == height(1)
    mark.forget()
    assert mark.read() is None
    mark.close()


@pytest.mark.parametrize("at", range(0, 52, 3))
def test_a_mark_that_was_changed_says_nothing(mark: Mark, tmp_path: Path, at: int) -> None:
    mark.reach(height(5))
    data = bytearray((tmp_path / "mark").read_bytes())
    data[at] ^= 0x10
    (tmp_path / "mark").write_bytes(data)
    assert mark.read() is None
    mark.reach(height(2))
    assert mark.read() == height(2)
    mark.close()


def test_a_suspicion_stays_until_the_file_was_found_whole(mark: Mark) -> None:
    mark.suspect()
    mark.reach(height(9))
    suspected = mark.suspected
    mark.trust()
    assert suspected
    assert (mark.suspected, mark.read()) == (False, height(9))
    mark.close()


def test_a_mark_that_cannot_be_written_keeps_nobody_from_working(mark: Mark, tmp_path: Path) -> None:
    mark.close()
    mark._descriptor = os.open(tmp_path / "mark", os.O_RDONLY)
    mark.reach(height(5))
    mark.suspect()
    mark.close()


async def test_cr08_the_mark_follows_every_commit_of_every_program(path: Path) -> None:
    async with storage.open(path) as one, storage.open(path) as other:
        for _ in range(3):
            await asyncio.gather(submit(one), submit(other), submit(one))
            seen = marked(path)
            assert (seen.commits, seen.tasks) == (commits_of(path), len(await one.tasks()))


async def test_a_group_that_changes_nothing_is_not_counted(store: storage.Store, path: Path) -> None:
    await submit(store)
    before = commits_of(path)
    await store._database.write(lambda tx: tx.connection.execute("SELECT count(*) FROM task").fetchone())
    await store._database.write(lambda tx: tx.connection.execute("DELETE FROM task WHERE seq < 0").rowcount)
    assert commits_of(path) == before
    await submit(store)
    assert commits_of(path) == before + 1
