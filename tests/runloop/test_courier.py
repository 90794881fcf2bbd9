"""The courier: in order, side by side, again later, never blindly twice, never lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from autohands import storage
from autohands.protocols.channel import Channel, Outgoing
from autohands.protocols.errors import StorageUnavailable
from autohands.protocols.outbox import MessageRecord, MessageState, Send, TakeMessages
from autohands.protocols.storage import Storage
from autohands.runloop.courier import LABEL, MOST_SECONDS, SLOTS, Courier, Pace
from autohands.storage import Store
from autohands.testing.channel import MemoryChannel

PATIENCE_SECONDS = 20.0
QUICK = Pace(back_off_seconds=0.01, grace_seconds=0.2, look_seconds=0.05)
IMPATIENT = Pace(send_seconds=0.2, back_off_seconds=0.01)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with storage.open(tmp_path / "home" / "autohands.db") as store:
        yield store


@asynccontextmanager
async def courier(store: Store, channels: dict[str, Channel], **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """A courier at work."""
    running = asyncio.create_task(Courier(store, lambda: channels, **{"pace": QUICK, **options}).run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def line_up(store: Store, text: str = "hello", address: str = "c:t", **fields: Any) -> MessageRecord:
    message: MessageRecord = (await store.commit(Send(address=address, text=text, **fields)))[0]
    return message


async def until(store: Store, message: MessageRecord, state: MessageState) -> MessageRecord:
    """Wait until a message is in a state."""
    return await when(store, message, lambda now: now.state == state)


async def when(store: Store, message: MessageRecord, true: Callable[[MessageRecord], bool]) -> MessageRecord:
    with store.listen("outbox") as bell:
        while not true(now := await store.outbox.get(message.id)):
            await bell.wait()
    return now


def texts(channel: MemoryChannel) -> list[str]:
    return [message.text for message in channel.sent]


async def test_a_message_is_delivered_and_its_receipt_kept(store: Store) -> None:
    channel = MemoryChannel()
    async with courier(store, {"c": channel}):
        message = await line_up(store, "hello")
        sent = await until(store, message, "sent")
    assert channel.sent == [Outgoing(key=message.key, thread="t", text="hello")]
    assert (sent.receipt, sent.attempt, sent.error) == ("out-1", 1, "")


async def test_a_threads_messages_keep_their_order_through_failures(store: Store) -> None:
    channel = MemoryChannel()
    channel.misbehave("refuses", "breaks", "loses")
    messages = [await line_up(store, str(number)) for number in range(5)]
    async with courier(store, {"c": channel}):
        await until(store, messages[-1], "sent")
    assert texts(channel) == ["0", "1", "2", "3", "4"]


async def test_a_thread_that_hangs_does_not_hold_others_up(store: Store) -> None:
    channel, other = MemoryChannel(), MemoryChannel()
    channel.misbehave("hangs")
    first = await line_up(store, "first", "c:slow")
    async with courier(store, {"c": channel, "d": other}):
        await channel.hanging.wait()
        behind = await line_up(store, "behind", "c:slow")
        await until(store, await line_up(store, "side by side", "c:quick"), "sent")
        await until(store, await line_up(store, "elsewhere", "d:t"), "sent")
        assert (await store.outbox.get(first.id)).state == "sending"
        assert (await store.outbox.get(behind.id)).state == "pending"


async def test_a_channel_whose_every_slot_hangs_does_not_hold_another_up(store: Store) -> None:
    channel, other = MemoryChannel(), MemoryChannel()
    for _ in range(SLOTS):
        channel.misbehave("hangs")
    for number in range(SLOTS + 1):
        await line_up(store, "x", f"c:{number}")
    async with courier(store, {"c": channel, "d": other}):
        await until(store, await line_up(store, "elsewhere", "d:t"), "sent")
        assert len(await store.outbox.all(states=("sending",))) == SLOTS


async def test_more_threads_than_slots_are_all_served(store: Store) -> None:
    channel = MemoryChannel()
    messages = [await line_up(store, str(number), f"c:{number}") for number in range(3 * SLOTS)]
    async with courier(store, {"c": channel}):
        for message in messages:
            await until(store, message, "sent")
    assert len(channel.sent) == 3 * SLOTS


async def test_what_was_not_delivered_is_sent_again_and_dead_in_the_end(store: Store) -> None:
    channel = MemoryChannel()
    channel.misbehave("refuses", "refuses", "refuses")
    message = await line_up(store)
    async with courier(store, {"c": channel}, attempts=3):
        dead = await until(store, message, "dead")
        assert (dead.attempt, dead.error, dead.doubtful) == (3, "the service is resting", False)
        await until(store, await line_up(store, "next"), "sent")
    assert texts(channel) == ["next"]


async def test_the_wait_that_the_service_asks_for_is_kept(store: Store) -> None:
    channel = MemoryChannel(rest_seconds=3600.0)
    channel.misbehave("refuses")
    message = await line_up(store)
    async with courier(store, {"c": channel}):
        waiting = await when(store, message, lambda now: now.attempt == 1 and now.state == "pending")
    assert 3590_000 < waiting.send_at - waiting.updated <= 3600_000


def test_waits_grow_and_are_bounded_and_scattered() -> None:
    for attempt in range(1, 12):
        longest = min(2.0 * 4 ** (attempt - 1), MOST_SECONDS)
        waits = {Pace().back_off(attempt) for _ in range(50)}
        assert 0.75 * longest <= min(waits) < max(waits) <= longest


# --- nobody knows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["breaks", "hangs"])
async def test_cr03_a_channel_that_knows_keys_gets_the_same_key_again(store: Store, trouble: Any) -> None:
    channel = MemoryChannel(idempotent=True)
    channel.misbehave(trouble)
    message = await line_up(store)
    async with courier(store, {"c": channel}, pace=IMPATIENT):
        doubtful = await when(store, message, lambda now: now.doubtful and now.state == "pending")
        assert doubtful.error in ("the connection broke", "no answer in time")
        sent = await until(store, message, "sent")
    assert (sent.attempt, sent.receipt) == (2, "out-1")
    assert texts(channel) == ["hello"]


async def test_cr03_a_channel_that_can_look_is_asked(store: Store) -> None:
    channel = MemoryChannel(idempotent=False, searchable=True)
    channel.misbehave("breaks", "loses")
    there, lost = await line_up(store, "there", "c:1"), await line_up(store, "lost", "c:2")
    async with courier(store, {"c": channel}):
        assert (await until(store, there, "sent")).receipt == "out-1"
        assert (await until(store, lost, "sent")).receipt == "out-2"
    assert texts(channel) == ["there", "lost"]


async def test_cr03_what_nobody_can_tell_is_held_for_a_person(store: Store) -> None:
    channel = MemoryChannel(idempotent=False)
    channel.misbehave("breaks")
    message = await line_up(store)
    async with courier(store, {"c": channel}):
        held = await until(store, message, "held")
        assert held.doubtful
        assert "the connection broke" in held.error
        await until(store, await line_up(store, "the thread goes on"), "sent")
    assert texts(channel) == ["hello", "the thread goes on"]


async def test_cr03_or_one_copy_goes_out_that_says_so(store: Store) -> None:
    channel = MemoryChannel(idempotent=False)
    channel.misbehave("breaks")
    message = await line_up(store)
    async with courier(store, {"c": channel}, doubtful="label"):
        sent = await until(store, message, "sent")
        assert sent.labelled
        assert sent.text == "hello"
        await until(store, await line_up(store, "no label"), "sent")
    assert texts(channel) == ["hello", f"{LABEL} hello", "no label"]


async def test_cr03_there_is_no_second_labelled_copy(store: Store) -> None:
    channel = MemoryChannel(idempotent=False)
    channel.misbehave("breaks", "breaks")
    message = await line_up(store)
    async with courier(store, {"c": channel}, doubtful="label"):
        await until(store, message, "held")
    assert texts(channel) == ["hello", f"{LABEL} hello"]


async def test_what_stays_doubtful_to_the_end_is_held_and_not_dead(store: Store) -> None:
    channel = MemoryChannel()
    channel.misbehave("breaks", "refuses")
    message = await line_up(store)
    async with courier(store, {"c": channel}, attempts=2):
        held = await until(store, message, "held")
    assert (held.attempt, held.doubtful) == (2, True)


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), SystemExit(3), ExceptionGroup("many", [ValueError()])])
async def test_whatever_a_channel_raises_means_that_nobody_knows(store: Store, error: BaseException) -> None:
    class Broken(MemoryChannel):
        async def send(self, message: Outgoing) -> str:
            raise error

    message = await line_up(store)
    async with courier(store, {"c": Broken(idempotent=False), "d": MemoryChannel()}) as running:
        held = await until(store, message, "held")
        assert type(error).__name__.removesuffix("Group") in held.error or "ValueError" in held.error
        await until(store, await line_up(store, "others go on", "d:t"), "sent")
        assert not running.done()


async def test_a_channel_that_does_not_say_what_it_can_do_is_trusted_with_nothing(store: Store) -> None:
    class Old:
        """It has neither `idempotent` nor `find`."""

        def __init__(self) -> None:
            self.sent: list[str] = []

        async def send(self, message: Outgoing) -> str:
            self.sent.append(message.text)
            raise OSError("gone")

    channel: Any = Old()
    message = await line_up(store)
    async with courier(store, {"c": channel}, attempts=2):
        held = await until(store, message, "held")
    assert channel.sent == ["hello"]
    assert "may have been delivered" in held.error


# --- what ends and what is not there ---------------------------------------------------------------------------------


async def test_a_message_for_a_channel_that_is_not_there_waits_for_it(store: Store) -> None:
    channel = MemoryChannel()
    channels: dict[str, Channel] = {}
    message = await line_up(store)
    async with courier(store, channels):
        waiting = await when_written(store, message, lambda now: bool(now.error))
        assert (waiting.state, waiting.attempt) == ("pending", 0)
        assert "no extension offers the channel 'c'" in waiting.error
        channels["c"] = channel
        sent = await until(store, message, "sent")
    assert (texts(channel), sent.error) == (["hello"], "")


async def when_written(store: Store, message: MessageRecord, true: Callable[[MessageRecord], bool]) -> MessageRecord:
    """As `when`, for what rings no bell."""
    while not true(now := await store.outbox.get(message.id)):
        await asyncio.sleep(0.01)
    return now


async def test_what_is_on_its_way_when_it_ends_may_arrive(store: Store) -> None:
    channel = Slow()
    message = await line_up(store)
    async with courier(store, {"c": channel}) as running:
        await channel.begun.wait()
        running.cancel()
        asyncio.get_running_loop().call_later(0.05, channel.go.set)
        await asyncio.wait({running})
    assert (await store.outbox.get(message.id)).state == "sent"


class Slow(MemoryChannel):
    """Delivers when it is told to."""

    def __init__(self) -> None:
        super().__init__(idempotent=False)
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def send(self, message: Outgoing) -> str:
        self.begun.set()
        await self.go.wait()
        return await super().send(message)


async def test_cr03_what_does_not_arrive_in_time_is_in_doubt_at_the_next_start(store: Store) -> None:
    channel = Slow()
    message = await line_up(store)
    async with courier(store, {"c": channel}) as running:
        await channel.begun.wait()
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()  # nobody waits any longer
        await asyncio.wait({running})
        left = await store.outbox.get(message.id)
        assert (left.state, left.doubtful) == ("pending", True)
    channel.go.set()
    async with courier(store, {"c": channel}):
        await until(store, message, "held")
    assert channel.sent == []


async def test_wherever_it_is_stopped_no_message_is_left_in_doubt_that_was_not_being_sent(store: Store) -> None:
    channel = MemoryChannel(idempotent=False)
    for number in range(30):
        message = await line_up(store, address=f"c:{number}")
        async with courier(store, {"c": channel}) as running:
            await asyncio.sleep(number * 0.0002)
            running.cancel()
            await asyncio.wait({running})
        left = await store.outbox.get(message.id)
        assert left.state in ("pending", "sent")
        assert not left.doubtful
    assert len(channel.sent) == len(await store.outbox.all(states=("sent",)))


async def test_a_sleeping_courier_asks_for_nothing(store: Store) -> None:
    looks = 0

    class Counting(dict[str, Channel]):
        def keys(self) -> Any:
            nonlocal looks
            looks += 1
            return super().keys()

    async with courier(store, Counting(c=MemoryChannel())):
        await until(store, await line_up(store), "sent")
        await asyncio.sleep(0.1)
        before = looks
        await asyncio.sleep(0.3)
        assert looks == before


async def test_what_cannot_be_recorded_is_recorded_later_and_not_sent_again(tmp_path: Path) -> None:
    async with storage.open(tmp_path / "home" / "autohands.db") as store:
        full = Full(store)
        channel = MemoryChannel(idempotent=False)
        message = await line_up(store)
        async with courier(full, {"c": channel}):  # type: ignore[arg-type]
            await full.refused.wait()
            assert (await store.outbox.get(message.id)).state == "sending"
            full.room = True
            await until(store, message, "sent")
        assert texts(channel) == ["hello"]


async def test_what_is_being_taken_up_when_it_ends_is_still_sent(store: Store) -> None:
    slow = Hesitant(store)
    channel = MemoryChannel(idempotent=False)
    message = await line_up(store)
    async with courier(slow, {"c": channel}) as running:  # type: ignore[arg-type]
        await slow.taken.wait()
        running.cancel()
        asyncio.get_running_loop().call_soon(slow.go.set)
        await asyncio.wait({running})
    assert (await store.outbox.get(message.id)).state == "sent"
    assert texts(channel) == ["hello"]


class Hesitant:
    """A storage that takes its time to say what it has taken up."""

    def __init__(self, store: Store) -> None:
        self.outbox, self.listen = store.outbox, store.listen
        self.taken, self.go = asyncio.Event(), asyncio.Event()
        self._store = store

    async def commit(self, *changes: Any) -> list[Any]:
        results = await self._store.commit(*changes)
        if type(changes[0]).__name__ == "TakeMessages":
            self.taken.set()
            await self.go.wait()
        return results


class Full:
    """A storage whose disk is full when a delivery is to be recorded."""

    def __init__(self, store: Store) -> None:
        self.outbox, self.listen = store.outbox, store.listen
        self.room = False
        self.refused = asyncio.Event()
        self._store = store

    async def commit(self, *changes: Any) -> list[Any]:
        if type(changes[0]).__name__ == "SettleMessage" and not self.room:
            self.refused.set()
            raise StorageUnavailable("the disk is full")
        return await self._store.commit(*changes)


class Breaking:
    """A storage after whose first taking up something breaks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken = False
        self.outbox, self.listen = store.outbox, store.listen

    async def commit(self, *changes: Any) -> list[Any]:
        results = await self._store.commit(*changes)
        if not self.broken and any(isinstance(change, TakeMessages) for change in changes):
            self.broken = True
            raise RuntimeError("out of order")
        return results


async def test_cr03_what_was_taken_up_and_is_sent_by_nobody_comes_back_at_once(store: Store) -> None:
    channel, breaking = MemoryChannel(), Breaking(store)
    message = await line_up(store)
    sender = Courier(cast("Storage", breaking), lambda: {"c": channel}, pace=QUICK)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(ExceptionGroup):
            await sender.run()
        assert (await store.outbox.get(message.id)).state == "sending"
        again = asyncio.create_task(sender.run())
        sent = await until(store, message, "sent")
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
    assert (sent.attempt, len(channel.sent)) == (2, 1)


async def test_cr03_what_another_courier_of_this_program_sends_is_left_to_it(store: Store) -> None:
    channel, other = MemoryChannel(), MemoryChannel()
    channel.misbehave("hangs")
    message = await line_up(store)
    async with courier(store, {"c": channel}):
        await channel.hanging.wait()
        async with courier(store, {"c": other}):
            await until(store, await line_up(store, "next", "c:other"), "sent")
        assert (await store.outbox.get(message.id)).attempt == 1
    assert message.key not in [each.key for each in other.sent]
