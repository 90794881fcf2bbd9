"""A channel in memory: a test says things, reads what was answered, and makes it misbehave."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal, TypeAlias

from autohands.protocols.channel import Incoming, Outgoing
from autohands.protocols.errors import Conflict, NotFound, RetryableError

Trouble: TypeAlias = Literal["refuses", "breaks", "loses", "hangs"]
SOON_SECONDS = 0.01
MOST_UNREAD = 100_000


class MemoryChannel:
    """A `Channel` without a service. `sent` holds what went out: each key once, unless it is not `idempotent`.

    With `searchable` it can tell by a key whether a message was delivered. When it refuses, it asks for a rest of
    `rest_seconds`.
    """

    def __init__(
        self, *, idempotent: bool = True, searchable: bool = False, rest_seconds: float = SOON_SECONDS
    ) -> None:
        self.idempotent = idempotent
        self.searchable = searchable
        self.rest_seconds = rest_seconds
        self.sent: list[Outgoing] = []
        self.trouble: deque[Trouble] = deque()
        self.hanging = asyncio.Event()
        self._ids: dict[str, str] = {}
        self._said = 0
        self._incoming: asyncio.Queue[Incoming | None] = asyncio.Queue(MOST_UNREAD)

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

    def misbehave(self, *trouble: Trouble) -> None:
        """What the next messages meet, one each: it `refuses` (a passing fault, not delivered), `breaks` after the
        delivery or `loses` it before (nobody knows), or delivers and `hangs` for ever; `hanging` is set then."""
        self.trouble.extend(trouble)

    async def receive(self) -> AsyncIterator[Incoming]:
        """Messages as they come, until closed."""
        while message := await self._incoming.get():
            yield message

    async def send(self, message: Outgoing) -> str:
        """Deliver: the same key again is answered with the id of the first time, unless it is not `idempotent`.

        Raises:
            RetryableError, Conflict: As it was told to misbehave.
        """
        trouble = self.trouble.popleft() if self.trouble else None
        if trouble == "refuses":
            raise RetryableError("the service is resting", retry_after_seconds=self.rest_seconds)
        if trouble == "loses":
            raise Conflict("the connection broke")
        receipt = self._deliver(message)
        if trouble == "breaks":
            raise Conflict("the connection broke")
        if trouble == "hangs":
            self.hanging.set()
            await asyncio.Event().wait()
        return receipt

    def _deliver(self, message: Outgoing) -> str:
        if message.key not in self._ids or not self.idempotent:
            self.sent.append(message)
            self._ids[message.key] = f"out-{len(self.sent)}"
        return self._ids[message.key]

    async def find(self, key: str) -> str | None:
        """The id of what was delivered with a key, if it is `searchable`.

        Raises:
            NotFound: Nothing was.
        """
        if not self.searchable:
            return None
        if key not in self._ids:
            raise NotFound(f"no message with the key {key!r} was delivered")
        return self._ids[key]
