"""A place where people talk: messages in, messages out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from autohands.protocols.messages import BlobRef


class Incoming(Struct, frozen=True, kw_only=True):
    """What somebody said. The channel's own `id` makes a repeated delivery harmless; `peer` is who, `thread` where."""

    id: str
    peer: str
    thread: str
    text: str
    images: tuple[BlobRef, ...] = ()


class Outgoing(Struct, frozen=True, kw_only=True):
    """What is to be said in `thread`. `key` makes sending it again harmless where the channel supports that."""

    key: str
    thread: str
    text: str
    images: tuple[BlobRef, ...] = ()


class Channel(Protocol):
    """Messages in and out of one service."""

    @property
    def idempotent(self) -> bool:
        """Whether the service drops a message whose key it has seen: then sending again never makes a second one."""
        ...

    def receive(self) -> AsyncIterator[Incoming]:
        """Messages as they come, until closed.

        A message is durable when the next one is asked for; only then may the service be told that it arrived. One that
        was not acknowledged comes again, with the same `id`.
        """
        ...

    async def send(self, message: Outgoing) -> str:
        """Deliver, and return the service's id of the message.

        Raises:
            RetryableError: It was certainly not delivered; `retry_after_seconds` is how long to wait.
            Conflict: Nobody knows whether it was. Any other error, and silence, mean the same.
        """
        ...

    async def find(self, key: str) -> str | None:
        """The service's id of the message that was sent with `key`; None where the service cannot tell.

        Raises:
            NotFound: It was certainly not delivered, and will not be. RetryableError: Ask again later.
        """
        ...
