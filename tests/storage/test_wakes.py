"""Whatever makes a task ready has it begun at once, and not at the engine's next look of its own, which is late."""

import asyncio
from collections.abc import Callable

import pytest

from autohands.protocols.changes import AskApproval, Cancel, Change, Decide, Enqueue, Finish, Park, Pause, Redo, Signal
from autohands.protocols.records import ApprovalRecord
from autohands.protocols.storage import Lease
from autohands.protocols.task import Task
from autohands.storage import Store
from autohands.storage.engine import LOOK_AGAIN_SECONDS
from storage.stores import serving, soon, submit

HEAD, BEHIND = "task_head", "task_behind"
QUESTION = ApprovalRecord(id="apr_1", task=HEAD, turn=1, index=1, tool="t", effect="read", preview="", digest=b"")
WAYS: dict[str, tuple[str, Callable[[], Change], str]] = {
    "accepted": ("paused", lambda: Enqueue(task=Task(id="task_new", prompt="x")), "task_new"),
    "signalled": ("signal:go", lambda: Signal(task=HEAD, topic="go", payload={}), HEAD),
    "answered": ("approval:apr_1", lambda: Decide(approval="apr_1", decision="allow", by="owner"), HEAD),
    "resumed": ("paused", lambda: Redo(task=HEAD), HEAD),
    "promoted": ("paused", lambda: Cancel(task=HEAD), BEHIND),
}


@pytest.mark.parametrize("way", WAYS)
async def test_what_gets_ready_is_begun_at_once(store: Store, way: str) -> None:
    wait, change, expected = WAYS[way]
    begun: dict[str, asyncio.Event] = {each: asyncio.Event() for each in (HEAD, BEHIND, "task_new")}

    async def handler(lease: Lease) -> None:
        if lease.record.id == HEAD and lease.attempt == 1 and wait != "paused":
            await lease.commit(AskApproval(approval=QUESTION), Park(reason="x", waits=(wait,)))
            return
        begun[lease.record.id].set()
        await lease.commit(Finish(state="done", reason="done"))

    for task in (HEAD, BEHIND):
        await submit(store, id=task, session="s")
    if wait == "paused":
        await store.commit(Pause(task=HEAD))
    async with serving(store, handler):

        async def rests() -> bool:
            return (await store.task(HEAD)).state in ("waiting", "paused")

        await soon(rests)
        await store.commit(change())
        async with asyncio.timeout(LOOK_AGAIN_SECONDS / 2):
            await begun[expected].wait()
