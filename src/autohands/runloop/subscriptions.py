"""Topics as sources: what is published under one is work."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

import msgspec
from msgspec.structs import replace

from autohands.protocols.loop import MODES
from autohands.protocols.task import Task
from autohands.protocols.topics import Publication

_PLACES = re.compile(r"\{(topic|payload)\}")


class Subscribing(Protocol):
    """Where topics are read."""

    def subscribe(self, name: str, pattern: str) -> AsyncGenerator[Publication, None]:
        """What is published, each dealt with when the next one is asked for."""
        ...


class TopicSource:
    """A source: a task for each publication under topics that match `pattern`, once, in their order.

    `{topic}` and `{payload}` (as JSON) in the task's prompt stand for what was published. The subscription `name` is
    durable: what is published while the program does not run waits for it.
    """

    modes = MODES

    def __init__(self, queue: Subscribing, name: str, pattern: str, *, task: Task) -> None:
        self._queue = queue
        self._name = name
        self._pattern = pattern
        self._task = task

    async def tasks(self) -> AsyncIterator[Task]:
        """Tasks as something is published.

        Raises:
            BadRequest: That is no pattern. Conflict: The subscription stands for another pattern.
        """
        async with aclosing(self._queue.subscribe(self._name, self._pattern)) as publications:
            async for publication in publications:
                yield self._work(publication)

    def _work(self, publication: Publication) -> Task:
        said = {"topic": publication.topic, "payload": msgspec.json.encode(publication.payload).decode()}
        return replace(
            self._task,
            prompt=_PLACES.sub(lambda place: said[place[1]], self._task.prompt),
            source=f"topic:{self._name}",
            idempotency_key=f"{self._name}:{publication.seq}",
        )
