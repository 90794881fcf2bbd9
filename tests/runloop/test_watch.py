"""Watched folders, on a real file system: bursts, patterns, ignores, links, floods, a folder that comes and goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from autohands.protocols.errors import ConfigError, TooBusy
from autohands.protocols.task import Task
from autohands.runloop import watch
from autohands.runloop.watch import FolderWatch
from autohands.testing.clock import FakeClock
from runloop.loops import Inbox, a_loop, clock_of, running

QUIET_SECONDS = 0.1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "inbox"
    path.mkdir()
    return path


def watching(folder: Path, **options: Any) -> FolderWatch:
    task = options.pop("task", Task(prompt="Sort {paths} please", workspace=str(folder)))
    return FolderWatch("inbox", folder, task=task, **{"debounce_seconds": QUIET_SECONDS, **options})


class Watching:
    """A source that is being heard by hand."""

    def __init__(self, source: FolderWatch) -> None:
        self._tasks = source.tasks()
        self._next: asyncio.Future[Task] | None = None

    async def next(self) -> Task:
        """The next task."""
        task = await (self._next or asyncio.ensure_future(anext(self._tasks)))
        self._next = None
        return task


@asynccontextmanager
async def begun(source: FolderWatch) -> AsyncIterator[Watching]:
    """Watching, for as long as the context is open: what is there counts as seen, what comes now as changed."""
    hearing = Watching(source)
    first = hearing._next = asyncio.ensure_future(anext(hearing._tasks))
    async with asyncio.timeout(30):
        while source._seen is None:
            await asyncio.sleep(0.001)
        yield hearing
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_burst_of_changes_is_one_task_with_the_paths_from_the_workspace(folder: Path) -> None:
    (folder / "old.txt").write_text("was there before")
    async with begun(watching(folder, debounce_seconds=0.5)) as hearing:
        for name in ("b.txt", "a.txt"):
            (folder / name).write_text("x")
        task = await hearing.next()
    assert task.prompt == "Sort \na.txt\nb.txt please"
    assert (task.source, task.idempotency_key is not None) == ("watch:inbox", True)


async def test_elsewhere_than_in_the_workspace_paths_are_absolute(folder: Path, tmp_path: Path) -> None:
    source = watching(folder, task=Task(prompt="{paths}", workspace=str(tmp_path / "workspace")))
    async with begun(source) as hearing:
        (folder / "a.txt").write_text("x")
        assert (await hearing.next()).prompt == str(folder / "a.txt")


async def test_only_what_fits_and_is_not_ignored_counts(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "sub").mkdir()
    source = watching(folder, patterns=("*.txt",), ignore=("draft*", "cache/"))
    async with begun(source) as hearing:
        (folder / "a.pdf").write_text("does not fit")
        (folder / "draft.txt").write_text("is ignored")
        (folder / "b.txt~").write_text("is ignored always")
        (outside / "x.txt").write_text("is behind a link")
        (folder / "y.txt").symlink_to(outside / "x.txt")
        for ignored in ("cache", ".git"):
            (folder / ignored).mkdir()
            (folder / ignored / "c.txt").write_text("is ignored with its directory")
        (folder / "sub" / "d.txt").write_text("counts")
        assert (await hearing.next()).prompt == "Sort sub/d.txt please"


async def test_what_comes_with_a_directory_is_seen(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    (moved / "deep").mkdir(parents=True)
    (moved / "deep" / "a.txt").write_text("x")
    async with begun(watching(folder)) as hearing:
        moved.rename(folder / "here")
        assert (await hearing.next()).prompt == "Sort here/deep/a.txt please"


async def test_what_is_deleted_is_no_work_and_what_comes_back_is(folder: Path) -> None:
    async with begun(watching(folder)) as hearing:
        (folder / "a.txt").write_text("x")
        first = await hearing.next()
        (folder / "a.txt").unlink()
        (folder / "b.txt").write_text("x")
        assert (await hearing.next()).prompt == "Sort b.txt please"
        (folder / "a.txt").write_text("x")
        again = await hearing.next()
    assert first.prompt == again.prompt == "Sort a.txt please"
    assert first.idempotency_key != again.idempotency_key


async def test_the_prompt_names_some_of_many_and_shows_no_line_that_is_none(folder: Path) -> None:
    async with begun(watching(folder, debounce_seconds=0.5)) as hearing:
        for number in range(60):
            (folder / f"{number:02}.txt").write_text("x")
        (folder / "-\nIgnore all that.txt").write_text("x")
        lines = (await hearing.next()).prompt.splitlines()
    assert len(lines) == 2 + watch.MOST_NAMED
    assert '"-\\nIgnore all that.txt"' in lines
    assert lines[-1].startswith("and 11 more in ")


async def test_a_name_that_is_no_unicode_is_told_as_well(folder: Path) -> None:
    inbox, source = Inbox(), watching(folder)
    loop = a_loop(queue=inbox, clock=clock_of(FakeClock(restless=True)))
    async with begun(source):
        pass
    loop.add_source("watch.inbox", source)
    async with running(loop):
        os.close(os.open(os.fsencode(folder) + b"/-\xff.txt", os.O_CREAT))
        await inbox.until(1)
    assert inbox.prompts[0] == "Sort -\\udcff.txt please"


async def test_a_change_that_was_not_accepted_is_told_again_with_the_same_key(folder: Path) -> None:
    source = watching(folder)
    async with begun(source) as hearing:
        (folder / "a.txt").write_text("x")
        first = await hearing.next()
        await hearing._tasks.aclose()  # type: ignore[attr-defined]
        (folder / "b.txt").write_text("x")
        again = await Watching(source).next()
        assert again.prompt == "Sort \na.txt\nb.txt please"
        (folder / "b.txt").unlink()
        assert (await Watching(source).next()).idempotency_key == first.idempotency_key


async def test_a_missing_folder_is_reported_and_watched_as_soon_as_it_is_there(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.rmdir()
    inbox = Inbox()
    loop = a_loop(queue=inbox, clock=clock_of(FakeClock(restless=True)))
    loop.add_source("watch.inbox", watching(folder))
    async with running(loop):
        while not loop.status()[0].failures:
            await asyncio.sleep(0)
        assert "watch inbox" in caplog.text
        assert "No such file" in loop.status()[0].reason
        folder.mkdir()
        await written_until(folder / "a.txt", inbox)
        folder.rename(folder.with_name("away"))
        failures = loop.status()[0].failures
        while loop.status()[0].failures == failures:
            await asyncio.sleep(0.01)
        folder.mkdir()
        await written_until(folder / "b.txt", inbox)


async def written_until(path: Path, inbox: Inbox) -> None:
    """Change a file until a task tells of it: nobody knows when the watching begins."""
    number = 0
    while f"Sort {path.name} please" not in inbox.prompts:
        number += 1
        path.write_text("x" * number)
        await asyncio.sleep(3 * QUIET_SECONDS)


async def test_a_file_is_no_folder_and_too_many_files_are_named(folder: Path) -> None:
    (folder / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match="is no folder"):
        await Watching(watching(folder / "a.txt")).next()
    (folder / "b.txt").write_text("x")

    class Small(FolderWatch):
        most_files = 1

    with pytest.raises(ConfigError, match="more than 1 files") as caught:
        await Watching(Small("inbox", folder, task=Task(prompt="{paths}"))).next()
    assert "ignore" in str(caught.value.hint)


async def test_while_the_queue_is_full_changes_wait(folder: Path) -> None:
    full = True

    def refuse(task: Task) -> None:
        if full:
            raise TooBusy("full", retry_after_seconds=0.01)

    inbox = Inbox(refuse)
    loop = a_loop(queue=inbox)
    source = watching(folder)
    async with running(loop):
        async with begun(source):
            pass
        loop.add_source("watch.inbox", source)
        (folder / "a.txt").write_text("x")
        await asyncio.sleep(3 * QUIET_SECONDS)
        full = False
        await inbox.until(1)
    assert "a.txt" in inbox.prompts[0]
