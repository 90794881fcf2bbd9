"""The courier: takes up messages that are due, delivers them, and writes down what became of each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from autohands.core.foreign import contained, describe
from autohands.protocols.changes import Change
from autohands.protocols.channel import Channel, Outgoing
from autohands.protocols.errors import AutoHandsError, Conflict, NotFound, RetryableError, StorageUnavailable
from autohands.protocols.outbox import MessageRecord, SettleMessage, StrandMessages, TakeMessages
from autohands.protocols.storage import Bell, Storage
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id, now_ms

logger = logging.getLogger(__name__)

T = TypeVar("T")
Doubtful: TypeAlias = Literal["hold", "label"]

LABEL: Final = "(may be a repeat)"
SLOTS: Final = 8  # per channel: one that hangs does not hold the others up
LEASE_SECONDS: Final = 30.0  # beyond the time that sending may take
MOST_SECONDS: Final = 3600.0
LONGEST_ERROR: Final = 1000


class Pace(Struct, frozen=True, kw_only=True):
    """How long a courier waits: for a channel's answer, for what is on its way when it ends, before it looks again for
    a channel that is not there, and after a first failure."""

    send_seconds: float = 60.0
    grace_seconds: float = 5.0
    look_seconds: float = 5.0
    back_off_seconds: float = 2.0

    def back_off(self, attempt: int) -> float:
        """How many seconds to wait after an attempt, counted from 1: four times as long each time, scattered."""
        longest = min(self.back_off_seconds * 4.0 ** (attempt - 1), MOST_SECONDS)
        return float(longest * random.uniform(0.75, 1.0))


STEADY: Final = Pace()


class Courier:
    """Sends what stands in the outbox: each thread's messages in order, threads side by side.

    What certainly was not delivered is sent again, later each time, and is dead after `attempts`. What may have been
    delivered is sent again where the channel drops a key that it knows, or looked up; else it is held for a person, or
    one copy goes out that says so, as `doubtful` wants. A message for a channel that is not there waits for it.
    """

    def __init__(
        self,
        storage: Storage,
        channels: Callable[[], Mapping[str, Channel]],
        *,
        doubtful: Doubtful = "hold",
        attempts: int = 8,
        pace: Pace = STEADY,
        stopped: Callable[[], object] = lambda: None,
    ) -> None:
        self._storage = storage
        self._channels = channels
        self._label = doubtful == "label"
        self._attempts = attempts
        self._pace = pace
        self._name = new_id("courier")
        self._stopped = stopped
        self._seen: set[str] = set()
        self._taking: asyncio.Task[int] | None = None
        self._sending: dict[str, dict[str, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Send until cancelled; what is on its way then has a few seconds to arrive."""
        self._seen.clear()
        self._sending.clear()
        with self._storage.listen("outbox") as bell:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hear(bell), name="outbox bell")
                try:
                    await self._serve(tasks)
                except asyncio.CancelledError:
                    await self._let_arrive()
                    raise

    async def _hear(self, bell: Bell) -> None:
        while True:
            await bell.wait()
            self._wake.set()

    async def _let_arrive(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.grace_seconds):
                while under_way := self._under_way():
                    await asyncio.wait(under_way)

    def _under_way(self) -> list[asyncio.Task[Any]]:
        tasks = [self._taking, *(task for each in self._sending.values() for task in each.values())]
        return [task for task in tasks if task is not None and not task.done()]

    async def _serve(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            try:
                due = await self._storage.outbox.due()
            except StorageUnavailable as error:
                logger.warning("the outbox cannot be read: %s", error)
                await asyncio.sleep(self._pace.look_seconds)
                continue
            stopped = self._stopped() is not None
            if changes := [] if stopped else self._wanted(due):
                # What is taken up is sent or put back, whatever ends this: it is not cancelled half-way.
                self._taking = tasks.create_task(self._take(tasks, changes), name="take messages")
                if await asyncio.shield(self._taking):
                    continue
            await self._rest(due, tried=stopped or bool(changes))

    def _wanted(self, due: dict[str, int]) -> list[Change]:
        """What to take up: of each channel what is due, and at its first sight what was left as `sending`."""
        channels, now = self._channels(), now_ms()
        self._seen &= channels.keys()
        changes: list[Change] = []
        for name, at in due.items():
            mine = tuple(self._sending.get(name, ()))
            if name not in channels:
                changes.append(StrandMessages(channel=name, reason=f"no extension offers the channel {name!r}"))
            elif len(mine) < SLOTS and (at <= now or name not in self._seen):
                changes.append(self._taking_up(name, mine))
        return changes

    def _taking_up(self, channel: str, mine: tuple[str, ...]) -> TakeMessages:
        seconds = self._pace.send_seconds + LEASE_SECONDS
        return TakeMessages(channel=channel, most=SLOTS - len(mine), taker=self._name, seconds=seconds, holding=mine)

    async def _take(self, tasks: asyncio.TaskGroup, changes: list[Change]) -> int:
        """Take messages up and begin to deliver them; how many, and channels seen for the first time."""
        failpoint("courier.before_taken")
        try:
            results = await self._storage.commit(*changes)
        except StorageUnavailable as error:
            logger.warning("no message can be taken up: %s", error)
            return 0
        failpoint("courier.after_taken")
        news = 0
        for change, result in zip(changes, results, strict=True):
            if isinstance(change, StrandMessages) and result:
                logger.warning("%d messages wait: %s", result, change.reason)
            if isinstance(change, TakeMessages):
                news += len(result) + (change.channel not in self._seen)
                self._seen.add(change.channel)
                for message in result:
                    task = tasks.create_task(self._deliver(message), name=f"message {message.id}")
                    self._sending.setdefault(change.channel, {})[message.id] = task
        return news

    async def _rest(self, due: dict[str, int], *, tried: bool) -> None:
        """Until something is committed, a slot is free again, the next one is due, or a channel may have come."""
        channels, now = self._channels(), now_ms()
        waits = [max(at - now, 0) / 1000 for name, at in due.items() if name in channels and self._has_room(name)]
        if tried:  # in vain: the channel is not there, or the disk refuses
            waits = [self._pace.look_seconds, *(wait for wait in waits if wait > 0)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(waits, default=None)):
                await self._wake.wait()

    def _has_room(self, channel: str) -> bool:
        return len(self._sending.get(channel, {})) < SLOTS

    # --- one message -------------------------------------------------------------------------------------------------

    async def _deliver(self, message: MessageRecord) -> None:
        name = channel_of(message)
        try:
            try:
                settled = await self._sent(message, self._channels().get(name))
            except asyncio.CancelledError:
                with contextlib.suppress(AutoHandsError):
                    doubtful = replace(message, doubtful=True)
                    await self._storage.commit(self._put_back(doubtful, "it was being sent when the program stopped"))
                raise
            await self._settle(settled)
        finally:
            del self._sending[name][message.id]
            self._wake.set()

    async def _settle(self, settled: SettleMessage) -> None:
        """Write down what became of a message, as soon as the disk takes it."""
        failpoint("courier.before_settled")
        while True:
            try:
                await self._storage.commit(settled)
                break
            except StorageUnavailable as error:
                logger.warning("message %s is %s, which cannot be recorded: %s", settled.message, settled.state, error)
                await asyncio.sleep(self._pace.look_seconds)
            except (Conflict, NotFound) as error:
                logger.warning("message %s is %s, which comes too late: %s", settled.message, settled.state, error)
                break
        failpoint("courier.after_settled")
        if settled.state in ("held", "dead"):
            logger.warning("message %s is %s: %s", settled.message, settled.state, settled.error)

    async def _sent(self, message: MessageRecord, channel: Channel | None) -> SettleMessage:
        """Send it, or find out whether it was sent."""
        if channel is None:
            return self._put_back(message, "its channel has gone")
        idempotent = await self._asked(lambda: _is_idempotent(channel))
        if message.doubtful and idempotent is not True:
            return await self._resolved(message, channel)
        text = f"{LABEL} {message.text}" if message.labelled else message.text
        outgoing = Outgoing(key=message.key, thread=thread_of(message), text=text, images=message.images)
        failpoint("courier.before_sent")
        receipt = await self._asked(lambda: channel.send(outgoing))
        failpoint("courier.after_sent")
        if isinstance(receipt, RetryableError):
            return self._again(message, receipt.text, receipt.retry_after_seconds)
        if isinstance(receipt, BaseException):
            return self._again(replace(message, doubtful=True), _said(receipt), None if idempotent is True else 0.0)
        return SettleMessage(message=message.id, attempt=message.attempt, state="sent", receipt=str(receipt))

    async def _resolved(self, message: MessageRecord, channel: Channel) -> SettleMessage:
        """It may have been delivered, and to send it again may deliver it twice: ask the service, else do as told."""
        found = await self._asked(lambda: channel.find(message.key))
        if isinstance(found, NotFound):
            return self._again(replace(message, doubtful=False), "it was not delivered", 0.0)
        if isinstance(found, BaseException):
            return self._again(message, f"it may have been delivered; the service does not say: {_said(found)}")
        if found is not None:
            return SettleMessage(message=message.id, attempt=message.attempt, state="sent", receipt=str(found))
        if self._label and not message.labelled:
            return self._put_back(replace(message, doubtful=False, labelled=True), "it may be a repeat")
        return self._given_up(message, "held", "it may have been delivered, and nobody can tell")

    async def _asked(self, call: Callable[[], Awaitable[T]]) -> T | BaseException:
        """What the channel answers in time, or what it raises."""
        answers: list[T | BaseException] = []
        with contained(answers.append):
            async with asyncio.timeout(self._pace.send_seconds):
                answers.append(await call())
        return answers[0]

    # --- what becomes of it ------------------------------------------------------------------------------------------

    def _again(self, message: MessageRecord, error: str, seconds: float | None = None) -> SettleMessage:
        """Pending again in `seconds`, or without them later each time; too often → dead, or held in doubt."""
        if message.attempt >= self._attempts:
            return self._given_up(message, "held" if message.doubtful or message.labelled else "dead", error)
        return self._put_back(message, error, self._pace.back_off(message.attempt) if seconds is None else seconds)

    def _put_back(self, message: MessageRecord, error: str, seconds: float = 0.0) -> SettleMessage:
        return SettleMessage(
            message=message.id,
            attempt=message.attempt,
            state="pending",
            error=error[:LONGEST_ERROR],
            send_at=now_ms() + round(1000 * seconds),
            doubtful=message.doubtful,
            labelled=message.labelled,
        )

    def _given_up(self, message: MessageRecord, state: Literal["held", "dead"], error: str) -> SettleMessage:
        before = f" ({message.error})" if message.error and state == "held" else ""
        return SettleMessage(
            message=message.id,
            attempt=message.attempt,
            state=state,
            error=f"{error}{before}"[:LONGEST_ERROR],
            doubtful=state == "held",
        )


def channel_of(message: MessageRecord) -> str:
    """The channel that a message goes to."""
    return message.address.partition(":")[0]


def thread_of(message: MessageRecord) -> str:
    """The thread that a message goes to."""
    return message.address.partition(":")[2]


async def _is_idempotent(channel: Channel) -> bool:
    return channel.idempotent


def _said(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.text if isinstance(error, AutoHandsError) else describe(error)
