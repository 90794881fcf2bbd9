"""The mailbox: what is said in a channel becomes tasks, once each, of whoever said it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Enqueue
from autohands.protocols.channel import Incoming
from autohands.protocols.messages import BlobRef
from autohands.protocols.task import Task
from autohands.runloop.mailbox import LONGEST_SESSION, Mailbox, session_of
from autohands.runloop.queue import checked
from autohands.storage import Store
from autohands.testing.channel import MemoryChannel


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with storage.open(tmp_path / "home" / "autohands.db") as store:
        yield store


async def heard(channel: MemoryChannel) -> list[Task]:
    """Everything that was said, as tasks."""
    channel.close()
    async with asyncio.timeout(5):
        return [task async for task in Mailbox("chat", channel).tasks()]


async def test_what_is_said_is_a_task_of_a_stranger_answered_where_it_was_said() -> None:
    channel = MemoryChannel()
    said = channel.say("hello", peer="ann", thread="room.1")
    (task,) = await heard(channel)
    assert (task.prompt, task.session, task.reply_address) == ("hello", "chat.room.1", "chat:room.1")
    assert (task.principal, task.source, task.idempotency_key) == ("channel:chat:ann", "channel:chat", said.id)
    assert (task.labels.integrity, task.labels.untrusted, task.consent, task.attended) == (
        "untrusted",
        True,
        "ask",
        False,
    )


async def test_a_repeated_delivery_is_the_same_task(store: Store) -> None:
    channel = MemoryChannel()
    channel.deliver(channel.say("once"))
    channel.say("another")
    records = [(await store.commit(Enqueue(task=task)))[0] for task in await heard(channel)]
    assert records[0].id == records[1].id != records[2].id
    assert [record.state for record in records] == ["ready", "ready", "blocked"]
    assert len(await store.tasks()) == 2


async def test_each_peer_has_a_conversation_of_its_own_in_each_thread(store: Store) -> None:
    channel = MemoryChannel()
    for peer, thread in (("ann", "1"), ("ann", "1"), ("ann", "2"), ("bob", "1")):
        channel.say("hello", peer=peer, thread=thread)
    records = [(await store.commit(Enqueue(task=task)))[0] for task in await heard(channel)]
    sessions = [record.session for record in records]
    assert sessions[0] == sessions[1]
    assert len(set(sessions)) == 3


@pytest.mark.parametrize(
    "thread", ["", "a b", "a_b", "a/b", "группа", "x" * 500, "\n", "\ud800", "a b:0000000000000000", "-100123:7"]
)
async def test_any_thread_gives_a_session_that_storage_accepts(store: Store, thread: str) -> None:
    channel = MemoryChannel()
    channel.say("hello", thread=thread.replace("\ud800", "?"))
    (task,) = await heard(channel)
    (record,) = await store.commit(Enqueue(task=checked(task)))
    assert record.task.reply_address == f"chat:{thread}".replace("\ud800", "?")
    assert len(session_of("chat", thread)) <= LONGEST_SESSION


def test_two_threads_never_share_a_session() -> None:
    threads = ["a b", "a_b", "a/b", "a  b", "a\nb", "x" * 500, "x" * 501, "é", "e", "", "\ud800"]
    names = {session_of("chat", thread) for thread in threads}
    assert len(names) == len(threads)
    assert session_of("chat", "a b") == session_of("chat", "a b")
    assert not session_of("ses_x", "a").startswith("ses_")


async def test_a_long_peer_is_told_apart_from_another() -> None:
    channel = MemoryChannel()
    for tail in "ab":
        channel.say("hello", peer="p" * 5000 + tail)
    first, second = await heard(channel)
    assert first.principal != second.principal
    assert len(first.principal) < 300


async def test_what_says_nothing_is_left_out_and_an_image_is_mentioned() -> None:
    channel = MemoryChannel()
    image = BlobRef("0" * 64, "image/png", 3)
    channel.say("  \n")
    channel.deliver(Incoming(id="1", peer="p", thread="t", text="", images=(image,)))
    channel.deliver(Incoming(id="2", peer="p", thread="t", text="look", images=(image, image)))
    channel.deliver(Incoming(id="", peer="p", thread="t", text="no id"))
    one, two, without = await heard(channel)
    assert one.prompt == "[1 image came with this and cannot be shown]"
    assert two.prompt.startswith("look\n\n[2 images")
    assert without.idempotency_key is None
