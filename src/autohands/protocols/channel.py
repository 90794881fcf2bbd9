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

    def receive(self) -> AsyncIterator[Incoming]:
        """Messages as they come, until closed; a delivery may repeat after a crash."""
        ...

    async def send(self, message: Outgoing) -> str:
        """Deliver, and return the service's id of the message.

        Raises:
            RetryableError: It was certainly not delivered.
            Conflict: Nobody knows whether it was.
        """
        ...
