"""A program that works until it is killed: `kill_worker.py DATABASE EFFECTS TASKS [SECONDS]`.

It accepts tasks, tells each on standard output, and runs them: each turn is a model step, then an effect whose body
appends a line to the file EFFECTS; a turn takes SECONDS at least. What is acknowledged is told as well.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Literal

import msgspec

from autohands import storage
from autohands.protocols.changes import Enqueue, Finish, RecordStep, Reserve, Settle
from autohands.protocols.events import ReplyFinished, RunResumed, ToolFinished, TurnStarted
from autohands.protocols.messages import Message, Reply, Text, Usage
from autohands.protocols.records import Step
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task, TaskRecord, TaskState
from autohands.storage import Store

TURNS = 6
UNFINISHED: tuple[TaskState, ...] = ("ready", "running", "blocked", "waiting")
REPLY = msgspec.json.encode(Reply(Message("assistant", (Text("hello"),)), usage=Usage(1, 1)))


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def run(store: Store, effects: int, lease: Lease, seconds: float) -> None:
    task, done = lease.record.id, {}
    for step in await store.steps(task):
        done[step.turn, step.index] = step.status
    if lease.attempt > 1:
        lease.emit(RunResumed(attempt=lease.attempt))
    for turn in range(1, TURNS + 1):
        await asyncio.sleep(seconds)
        if (turn, 0) not in done:
            lease.emit(TurnStarted(turn=turn))
            key = f"{task}:{turn}:{lease.attempt}"
            await lease.commit(Reserve(key=key, micro_usd=10, run_cap=None, day_cap=None))
            step = Step(turn=turn, index=0, kind="model", name="m", status="done", output=REPLY, usage=Usage(1, 1))
            lease.note(step, ReplyFinished(turn=turn, stop="end", usage=Usage(1, 1)))
            await lease.commit(Settle(key=key, micro_usd=1, usage=Usage(1, 1), model="m"))
            tell("model", task, turn)
        if (turn, 1) not in done:
            intent = Step(turn=turn, index=1, kind="tool", name="effect", status="started", idempotent=False)
            await lease.commit(RecordStep(step=intent))
            os.write(effects, f"{task} {turn}\n".encode())
        if done.get((turn, 1), "started") == "started":
            status: Literal["unknown", "done"] = "unknown" if (turn, 1) in done else "done"
            over = Step(turn=turn, index=1, kind="tool", name="effect", status=status, output=b'{"text":""}')
            lease.note(over, ToolFinished(turn=turn, index=1, call_id="c", name="effect", status=status))
    await lease.commit(Finish(state="done", reason="done"))
    tell("end", task)


async def main(path: Path, effects: Path, count: int, seconds: float = 0.0) -> None:
    file = os.open(effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    async with storage.open(path) as store:
        serving = asyncio.create_task(store.engine.serve(lambda lease: run(store, file, lease, seconds), slots=4))
        for number in range(count):
            enqueue = Enqueue(task=Task(prompt="go", session=f"s{number % 3}", max_attempts=99))
            record: TaskRecord = (await store.commit(enqueue))[0]
            tell("task", record.id)
        while await store.tasks(states=UNFINISHED):
            await asyncio.sleep(0.01)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    tell("all")


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), *map(float, sys.argv[4:])))
