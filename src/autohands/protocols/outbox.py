"""Messages on their way out: each is a row before it is sent, and ends `sent`, `held` or `dead`."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from autohands.protocols.messages import BlobRef

MessageState: TypeAlias = Literal["pending", "sending", "sent", "held", "dead"]
MESSAGE_STATES: tuple[MessageState, ...] = ("pending", "sending", "sent", "held", "dead")
MOST_PENDING = 10_000


class MessageRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message on its way out. `address` is `channel:thread`, `key` makes sending it again harmless where the channel
    knows it. `attempt` counts the times it was taken up; `receipt` is the service's id of it.

    `doubtful` says that it may have been delivered already, `labelled` that this is said in what is sent. `send_at` is
    when it is to be sent, while it is being sent when that is over at the latest. Times are UTC ms.
    """

    id: str
    address: str
    key: str
    text: str
    images: tuple[BlobRef, ...] = ()
    task: str | None = None
    state: MessageState = "pending"
    attempt: int = 0
    doubtful: bool = False
    labelled: bool = False
    receipt: str = ""
    error: str = ""
    send_at: int = 0
    created: int = 0
    updated: int = 0


class Send(Struct, frozen=True, kw_only=True):
    """Line a message up. Result: its record; the same `key` to the same address again answers with the first one.

    Raises:
        BadRequest: That is no address, or it says nothing. NotFound: There is no such task.
        TooBusy: `MOST_PENDING` messages wait for that channel already.
    """

    address: str
    text: str
    key: str | None = None
    images: tuple[BlobRef, ...] = ()
    task: str | None = None


class TakeMessages(Struct, frozen=True, kw_only=True):
    """Take up at most `most` messages of a channel that are due, the first of each thread: they are `sending`.

    A later one waits while an earlier one of its thread is pending or being sent. Result: their records. What a program
    that is gone was sending comes back first, as `doubtful`: nobody knows whether it was delivered. So does what was
    not settled within `seconds`, and what this very `taker` has taken before, but for those that it is `holding`.
    """

    channel: str
    most: int
    taker: str = ""
    seconds: float = 90.0
    holding: tuple[str, ...] = ()


class StrandMessages(Struct, frozen=True, kw_only=True):
    """Say in the messages that wait for a channel why they do: nobody offers it. Result: in how many this was new."""

    channel: str
    reason: str


class SettleMessage(Struct, frozen=True, kw_only=True):
    """What became of a message when it was taken up for the `attempt`-th time.

    `sent` with the service's `receipt`; `pending` again at `send_at` (UTC ms) after `error`, `doubtful` if it may have
    been delivered, `labelled` if that is to be said; `held` until a person decides; `dead`. Result: its record.

    Raises:
        NotFound: There is none. Conflict: It is no longer being sent, or was taken up again meanwhile.
    """

    message: str
    attempt: int
    state: Literal["sent", "pending", "held", "dead"]
    receipt: str = ""
    error: str = ""
    send_at: int = 0
    doubtful: bool = False
    labelled: bool = False


class DecideMessage(Struct, frozen=True, kw_only=True):
    """Send a message that is held or dead after all, or one that waits at once; or drop it: it is dead.

    Result: its record.

    Raises:
        NotFound: There is none. Conflict: It was sent, or is being sent.
    """

    message: str
    send: bool


OutboxChange: TypeAlias = Send | TakeMessages | StrandMessages | SettleMessage | DecideMessage


class Outbox(Protocol):
    """Queries about messages on their way out."""

    async def get(self, message: str) -> MessageRecord:
        """One message, by its id or a unique beginning of at least 8 characters. Raises `NotFound`."""
        ...

    async def all(self, *, states: tuple[MessageState, ...] = (), limit: int = 100) -> list[MessageRecord]:
        """Messages, newest first."""
        ...

    async def due(self) -> dict[str, int]:
        """By channel, when its next message is to be sent, or what is being sent is over, in UTC ms."""
        ...
