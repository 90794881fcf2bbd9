"""The client of a trial: submits the orders, answers what is asked, and tells what was acknowledged.

Each line goes out in one `write` as soon as the program has acknowledged the input that it names; `seen TASK SEQ` says
that an event was shown.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from zlib import crc32

from msgspec.structs import replace

import autohands
from autohands.protocols.changes import DecideStep, Pause, Signal
from autohands.protocols.errors import AutoHandsError
from autohands.protocols.task import Task
from faults.plan import Order, Plan
from faults.tell import tell


class Client:
    """Has the orders of a plan carried out."""

    def __init__(self, hands: autohands.Hands, plan: Plan) -> None:
        self._hands = hands
        self._plan = plan

    async def run(self) -> None:
        """Submit all orders and see each to its end. The same order again is the same task."""
        async with asyncio.TaskGroup() as group:
            for order in self._plan.orders:
                group.create_task(self._see_through(order))

    async def _see_through(self, order: Order) -> None:
        task = Task(
            prompt=order.prompt,
            session=order.session,
            model="model/model",
            idempotency_key=order.key,
            max_attempts=1000,
            on_unknown=order.on_unknown,
            reply_address=f"recorder:{order.session}" if order.reply else None,
        )
        if order.control == "after":
            first = Task(
                prompt=f"do before-{order.key} look ", model="model/model", idempotency_key=f"before-{order.key}"
            )
            task = replace(task, after=((await self._hands.submit(first)).id,))
        if self._plan.broken == "early-ack":
            task = replace(task, id=f"task_{order.key}")
            tell("submit", order.key, task.id)
        tell("submitting", order.key)
        record = await self._hands.submit(task)
        tell("submit", order.key, record.id)
        async for data in self._hands.follow(record.id):
            event = json.loads(data)
            if "seq" in event:
                tell("seen", record.id, event["seq"])
                await self._answer(order, event)
            if event["type"] == "run.finished":
                tell("final", record.id)

    async def _answer(self, order: Order, event: dict[str, Any]) -> None:
        """Do what an event asks for. What was answered before a restart is answered again, and may be refused."""
        try:
            if event["type"] == "approval.requested":
                tell("deciding", event["approval"])
                await self._hands.decide(event["approval"], allow=True)
                tell("decide", event["approval"])
            elif event["type"] == "task.waiting":
                for wait in event["waits"]:
                    await self._release(event["task"], *wait.partition(":")[::2])
            elif event["type"] == "turn.started" and event["turn"] == 2 and order.control:
                await self._control(order, event)
        except AutoHandsError as error:
            tell("refused", type(error).__name__)

    async def _release(self, task: str, kind: str, key: str) -> None:
        if kind == "signal":
            signal = Signal(task=task, topic=key, payload={"said": key}, dedup=f"{task}-{key}")
            await self._hands.storage.commit(signal)
            tell("signal", task, key)
        elif kind == "decision":
            turn, index = map(int, key.split("."))
            retry = crc32(task.encode()) % 2
            change = DecideStep(task=task, decision="retry" if retry else "skip", by="client", turn=turn, index=index)
            await self._hands.storage.commit(change)
            tell("retry" if retry else "skip", task, turn, index)

    async def _control(self, order: Order, event: dict[str, Any]) -> None:
        task = event["task"]
        if order.control == "cancel":
            await self._hands.cancel(task)
            tell("cancel", task)
        elif order.control == "speak":
            spoken_to = await self._hands.speak(event["session"], f"word {order.key} {self._plan.life}")
            tell("words", spoken_to, order.key, self._plan.life)
        elif order.control == "pause":
            await self._hands.storage.commit(Pause(task=task))
            tell("pause", task)
            await self._hands.resume(task)
            tell("resume", task)
