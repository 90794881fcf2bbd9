"""What is said to a task in the very group of commits that claims it is heard."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from autohands.protocols.changes import Cancel, Change, Finish, Pause, Speak
from autohands.protocols.storage import Lease
from autohands.protocols.task import TaskRecord
from autohands.storage import Store
from storage.stores import serving, soon, submit

CHANGES: dict[str, Callable[[TaskRecord], Change]] = {
    "cancelled": lambda record: Cancel(task=record.id),
    "pausing": lambda record: Pause(task=record.id),
    "unread": lambda record: Speak(session=record.session, text="hi"),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_what_is_committed_right_behind_a_claim_is_heard(store: Store, what: str) -> None:
    record = await submit(store)
    gate, heard, told = threading.Event(), asyncio.Event(), list[str]()

    async def handler(lease: Lease) -> None:
        try:
            while not (lease.pausing or lease.unread):
                await asyncio.sleep(0.01)
            told.append("pausing" if lease.pausing else "unread")
        except asyncio.CancelledError as error:
            told.extend(error.args)
            raise
        finally:
            heard.set()
        await lease.commit(Finish(state="done", reason="done"))

    waiting = asyncio.ensure_future(store._database.write(lambda tx: gate.wait(20)))
    async with serving(store, handler):
        while store._database._inbox.empty():
            await asyncio.sleep(0)
        said = asyncio.ensure_future(store.commit(CHANGES[what](record)))
        for _ in range(5):
            await asyncio.sleep(0)
        gate.set()
        await waiting
        await said
        if what == "cancelled":  # its handler need not have begun
            await soon(lambda: has_state(store, record.id, "cancelled"))
        else:
            async with asyncio.timeout(5):
                await heard.wait()
    assert told in ([what], [] if what == "cancelled" else [what])


async def has_state(store: Store, task: str, state: str) -> bool:
    return (await store.task(task)).state == state
