"""What a client does beside its orders: schedules, publications, messages, forks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import autohands
from autohands.protocols.changes import Fork
from autohands.protocols.outbox import DecideMessage, MessageRecord, Send
from autohands.protocols.schedule import Schedule
from autohands.protocols.task import Task, TaskRecord
from autohands.runloop.schedules import plan as planned
from faults.plan import Plan
from faults.tell import tell

SOON = timedelta(milliseconds=40)


class Errands:
    """Each is acknowledged, and then has to happen once. The same errand again changes nothing."""

    def __init__(self, hands: autohands.Hands, plan: Plan) -> None:
        self._hands = hands
        self._plan = plan

    async def run(self) -> None:
        """All of them, side by side."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._schedule())
            group.create_task(self._publish())
            group.create_task(self._send())
            group.create_task(self._fork())

    async def _schedule(self) -> None:
        name = f"schedule-{self._plan.life}"
        when = (datetime.now(UTC) + SOON).isoformat()
        task = Task(
            prompt=f"do {name} look,spend ", model="model/model", workspace=str(self._plan.workspace), max_attempts=99
        )
        await self._hands.storage.commit(planned(Schedule(name=name, kind="once", when=when, task=task)))
        tell("schedule", name)

    async def _publish(self) -> None:
        key = f"news-{self._plan.life}"
        await self._hands.tasks.publish("news.all", {"key": key}, key=key)
        tell("publish", key)

    async def _send(self) -> None:
        """A message that the service neither takes nor refuses: it is held, until the client says to send it."""
        key = f"trouble-{self._plan.life}"
        storage = self._hands.storage
        record: MessageRecord = (await storage.commit(Send(address="recorder:trouble", text="?", key=key)))[0]
        tell("message", key)
        with storage.listen("outbox") as bell:
            while (await storage.outbox.get(record.id)).state != "held":
                await bell.wait()
        await storage.commit(DecideMessage(message=record.id, send=True))
        tell("sent", key)

    async def _fork(self) -> None:
        """A task that goes on from the second turn of another."""
        key = f"base-{self._plan.life}"
        base = await self._hands.submit(Task(prompt=f"do {key} look,look ", idempotency_key=key, max_attempts=99))
        async for _ in self._hands.follow(base.id):
            pass
        change = Fork(task=base.id, turn=2, prompt=f"do fork-{self._plan.life} look ")
        fork: TaskRecord = (await self._hands.storage.commit(change))[0]
        tell("fork", fork.id)
