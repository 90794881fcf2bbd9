"""Publish and subscribe: payloads under a topic, and readers that each keep a place of their own.

A topic is words of letters, digits, `_` and `-`, joined by dots. In a pattern `*` stands for one word and a last `**`
for any number of them, none included; a topic that begins with `_` is private: only a pattern that spells out its first
word matches it.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from msgspec import Struct


class Publication(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was published. `seq` is its place in the order of all; `reply_to` the topic where an answer is awaited."""

    seq: int
    topic: str
    payload: dict[str, Any]
    reply_to: str | None = None
    created: int = 0


class Subscription(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A durable reader: it has dealt with what its `pattern` matches up to `cursor`; `unread` more, of together
    `unread_bytes`, wait.
    """

    name: str
    pattern: str
    cursor: int = 0
    unread: int = 0
    unread_bytes: int = 0
    created: int = 0


class Publish(Struct, frozen=True, kw_only=True):
    """Publish a payload. Result: its publication; the same `key` again answers with the first one.

    A key is remembered for seven days after its last use. What nobody subscribes to gets its number and is not kept.

    Raises:
        BadRequest: That is no topic, or the payload is no JSON, or larger than 1 MiB.
        Conflict: The key was used with another topic or payload. TooBusy: A subscriber is too far behind.
    """

    topic: str
    payload: dict[str, Any]
    key: str | None = None
    reply_to: str | None = None


class Subscribe(Struct, frozen=True, kw_only=True):
    """Make a durable subscription that begins now; one that is there goes on where it was. Result: its record.

    One with `until` (UTC ms; the later one stands) is dropped some time after that, and in no list.

    Raises:
        BadRequest: That is no name or pattern. Conflict: The name stands for another pattern.
        TooBusy: There are too many subscriptions.
    """

    name: str
    pattern: str
    until: int | None = None


class Unsubscribe(Struct, frozen=True, kw_only=True):
    """End a subscription, with what it has not read. Raises `NotFound`."""

    name: str


class Consume(Struct, frozen=True, kw_only=True):
    """A subscriber has dealt with everything up to `seq`. What all have dealt with is deleted. Raises `NotFound`."""

    name: str
    seq: int


TopicChange: TypeAlias = Publish | Subscribe | Unsubscribe | Consume


class Topics(Protocol):
    """Queries about topics."""

    async def unread(self, name: str, limit: int = 100) -> list[Publication]:
        """The next that a subscriber has to deal with, in order; at most `limit`, and fewer of large ones.

        Raises:
            NotFound: There is no such subscription.
        """
        ...

    async def subscriptions(self) -> list[Subscription]:
        """All lasting subscriptions, by name."""
        ...
