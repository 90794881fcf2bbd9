"""What the contracts of storage, journal and engine share: the three doors, and the shortest ways through them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from autohands.protocols.changes import Enqueue, Finish
from autohands.protocols.messages import Message, Reply, Text, Usage
from autohands.protocols.records import ApprovalRecord, Step
from autohands.protocols.storage import Engine, Journal, Lease, Storage
from autohands.protocols.task import Task, TaskRecord

PATIENCE_SECONDS: Final = 20.0
DONE: Final = Finish(state="done", reason="done", text="ok")
REPLY: Final = Reply(Message("assistant", (Text("hello"),)), usage=Usage(10, 5))


class Durable(Struct, frozen=True):
    """The three doors of one engine."""

    storage: Storage
    journal: Journal
    engine: Engine


async def submit(durable: Durable, prompt: str = "do it", **fields: Any) -> TaskRecord:
    """Accept a task."""
    record: TaskRecord = (await durable.storage.commit(Enqueue(task=Task(prompt=prompt, **fields))))[0]
    return record


async def serve(durable: Durable, task: str, handler: Callable[[Lease], Awaitable[None]]) -> None:
    """Run a task and what belongs to it until it has ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await durable.engine.serve(handler, slots=4, root=task)


async def events_of(durable: Durable, task: str, after: int = 0) -> list[dict[str, Any]]:
    """Follow a task to its end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [json.loads(line) async for line in durable.journal.follow(task, after)]


async def finish(lease: Lease) -> None:
    """The shortest handler."""
    await lease.commit(DONE)


def model_step(turn: int = 1) -> Step:
    """A finished model call that said hello."""
    output = msgspec.json.encode(REPLY)
    return Step(turn=turn, index=0, kind="model", name="m", status="done", output=output, usage=REPLY.usage)


def tool_step(status: Any = "started", output: bytes | None = None) -> Step:
    """A tool call in turn 1."""
    return Step(turn=1, index=1, kind="tool", name="exec", status=status, output=output, idempotent=False)


def question(task: str, approval: str, expires: int | None = None) -> ApprovalRecord:
    """A question about a call of `task`."""
    return ApprovalRecord(
        id=approval,
        task=task,
        turn=1,
        index=1,
        tool="exec",
        effect="irreversible",
        preview="rm -rf /",
        digest=b"d",
        expires=expires,
    )
