"""A shell completes ids and names of what is there, and nothing where there is nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.task import Task
from autohands.protocols.topics import Subscribe
from autohands.runloop.queue import TaskQueue


async def completed(words: str, home: Path) -> list[str]:
    """What bash would offer for the last word."""
    env = {**os.environ, "AUTOHANDS_HOME": str(home), "_AUTOHANDS_COMPLETE": "bash_complete"}
    env |= {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from autohands.cli.main import main; main()", env=env, stdout=-1, stderr=-1
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert err == b""
    return [line.partition(",")[2] for line in out.decode().splitlines() if line]


@pytest.mark.parametrize("words", ["autohands task show ", "autohands run --session ", "autohands schedule pause "])
async def test_where_there_is_nothing_nothing_is_completed_or_made(tmp_path: Path, words: str) -> None:
    assert await completed(words, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


async def test_what_is_there_is_completed(home: Path) -> None:
    async with storage.open(home / "autohands.db") as store:
        task = await TaskQueue(store).submit(Task(prompt="Sort the inbox,\nplease", session="mail"))
        await store.commit(Subscribe(name="ci", pattern="build.**"))
    assert await completed("autohands task cancel ", home) == [task.id]
    assert await completed("autohands task submit x --after task_", home) == [task.id]
    assert await completed("autohands task submit x --after ses_", home) == []
    assert await completed("autohands run --session m", home) == ["mail"]
    assert await completed("autohands topic unsubscribe ", home) == ["ci"]
