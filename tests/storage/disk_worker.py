"""A program that stores what it is told to: `disk_worker.py DATABASE`, then a word a line on standard input.

`put` accepts a task, `read` lists the tasks, `blob` and `backup` make one, `files N` and `size N` limit how many files
may be open and how large one may grow (-1: as large as it will), `stop` ends. Each is answered by a line: the task's
id, their number, or the type of the error.
"""

import asyncio
import os
import resource
import sys
from pathlib import Path

from autohands import storage
from autohands.protocols.changes import Enqueue
from autohands.protocols.errors import AutoHandsError
from autohands.protocols.task import Task
from autohands.storage import Store


async def answer(store: Store, word: str) -> str:
    if word == "put":
        return str((await store.commit(Enqueue(task=Task(prompt="x" * 500))))[0].id)
    if word == "read":
        return str(len(await store.tasks(limit=10_000)))
    if word == "blob":
        return (await store.blobs.put(os.urandom(500_000), "image/png")).sha256
    if word == "backup":
        return f"{(await store.back_up(1)).tasks} tasks"
    if word.startswith("size"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(word[5:]), resource.RLIM_INFINITY))
        return "set"
    if word.startswith("files"):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(word[5:]), hard))
        return "set"
    return "what?"


async def main(path: Path) -> None:
    async with storage.open(path) as store:
        print("open", flush=True)
        while (word := (await asyncio.to_thread(sys.stdin.readline)).strip()) not in ("stop", ""):
            try:
                print(await answer(store, word), flush=True)
            except AutoHandsError as error:
                print(f"{error.type}: {error.text}", flush=True)


asyncio.run(main(Path(sys.argv[1])))
