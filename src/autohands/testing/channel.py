"""A channel in memory: a test says things, and reads what was answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from autohands.protocols.channel import Incoming, Outgoing


class MemoryChannel:
    """A `Channel` without a service. `sent` holds what went out, each key once."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self._ids: dict[str, str] = {}
        self._said = 0
        self._incoming: asyncio.Queue[Incoming | None] = asyncio.Queue()

    def say(self, text: str, *, peer: str = "peer", thread: str = "thread") -> Incoming:
        """Let somebody say something; it is received next."""
        self._said += 1
        message = Incoming(id=f"in-{self._said}", peer=peer, thread=thread, text=text)
        self.deliver(message)
        return message

    def deliver(self, message: Incoming) -> None:
        """Deliver a message as it is, perhaps for a second time, as services do after a crash."""
        self._incoming.put_nowait(message)

    def close(self) -> None:
        """No more will be said."""
        self._incoming.put_nowait(None)

    async def receive(self) -> AsyncIterator[Incoming]:
        """Messages as they come, until closed."""
        while message := await self._incoming.get():
            yield message

    async def send(self, message: Outgoing) -> str:
        """Deliver once: the same key again is answered with the id of the first time."""
        if message.key not in self._ids:
            self.sent.append(message)
            self._ids[message.key] = f"out-{len(self.sent)}"
        return self._ids[message.key]
