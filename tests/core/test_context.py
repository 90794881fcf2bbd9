"""What belongs to a run: abort that reaches children, deadlines, submissions that happen once."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from autohands.core.context import DEADLINE, AbortSignal, ExecutionContext, join_labels
from autohands.protocols.context import Labels, Scope, Services, ToolContext, Wait
from autohands.protocols.context import Parked as ParkedRun
from autohands.protocols.task import Task, TaskRecord
from autohands.sdk.identity import now_ms
from autohands.testing.host import BlobsInMemory, NoModels, no_processes


class Queue:
    """Takes tasks as the queue does: one row for each idempotency key."""

    def __init__(self) -> None:
        self.rows: dict[str, TaskRecord] = {}

    async def submit(self, task: Task) -> TaskRecord:
        key = task.idempotency_key or ""
        row = TaskRecord(id=f"task_{len(self.rows)}", seq=1, state="ready", session="ses_1", task=task)
        return self.rows.setdefault(key, row)

    async def wait(self, key: str) -> dict[str, Any]:
        if key == "answered":
            return {"text": "yes"}
        raise ParkedRun(Wait("signal", key))


def make(queue: Queue | None = None, **scope: Any) -> ExecutionContext:
    queue = queue or Queue()
    nothing: Any = object()
    services = Services(
        workspace=nothing,
        spawn=no_processes,
        jobs=nothing,
        blobs=BlobsInMemory(),
        secrets=nothing,
        models=NoModels(),
        submit=queue.submit,
        wait=queue.wait,
        children=nothing,
    )
    return ExecutionContext(Scope(**{"task": "task_p", "session": "ses_1", "agent": "general", **scope}), services)


def test_it_is_what_tools_expect() -> None:
    context: ToolContext = make()
    assert context.session == "ses_1"
    assert context.workspace is not None
    assert context.spawn is no_processes
    assert context.jobs is not None
    assert context.secrets is not None
    assert isinstance(context.blobs, BlobsInMemory)
    assert isinstance(context.models, NoModels)


async def test_abort_reaches_children_with_its_reason_and_no_parent() -> None:
    run = make()
    call = run.child(turn=1, index=2)
    inner, sibling = call.child(), run.child(turn=1, index=3)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(inner.abort.wait())
        await asyncio.sleep(0)
        call.abort.set("steered away")
        assert await waiting == "steered away"
    assert (call.abort.reason, inner.abort.reason) == ("steered away", "steered away")
    assert (run.abort.reason, sibling.abort.reason) == (None, None)
    run.abort.set("cancelled")
    assert [each.abort.reason for each in (run, sibling, call)] == ["cancelled", "cancelled", "steered away"]


async def test_abort_keeps_its_first_reason_and_answers_at_once_when_set() -> None:
    signal = AbortSignal()
    signal.set("first")
    signal.set("second")
    async with asyncio.timeout(5):
        assert await signal.wait() == "first"
        assert await AbortSignal(signal).wait() == "first"


async def test_many_may_wait_and_one_that_gives_up_disturbs_none() -> None:
    signal = AbortSignal()
    async with asyncio.timeout(5):
        waiting = [asyncio.create_task(AbortSignal(signal).wait()) for _ in range(10)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait({waiting[0]})
        signal.set("over")
        assert await asyncio.gather(*waiting[1:]) == ["over"] * 9
    assert signal._waiting == []


async def test_the_deadline_aborts_here_and_below() -> None:
    run = make(deadline=now_ms() + 300)
    call = run.child(turn=1, index=1)
    assert call.abort.reason is None
    async with asyncio.timeout(10):
        assert await call.abort.wait() == DEADLINE
    assert run.abort.reason == DEADLINE
    assert call.remaining_seconds == 0.0


def test_without_a_deadline_there_is_time_for_ever() -> None:
    assert make().remaining_seconds is None
    assert make().child(turn=1).remaining_seconds is None


def test_a_childs_deadline_can_only_come_closer() -> None:
    run = make(deadline=now_ms() + 60_000)
    closer, later = run.child(deadline=now_ms() + 1_000), run.child(deadline=now_ms() + 600_000)
    assert closer.remaining_seconds is not None
    assert closer.remaining_seconds <= 1.0
    assert later.scope.deadline == run.scope.deadline
    assert later.remaining_seconds is not None
    assert 1.0 < later.remaining_seconds <= 60.0


def test_setting_the_wall_clock_moves_no_deadline() -> None:
    import time_machine

    run = make(deadline=now_ms() + 60_000)
    with time_machine.travel(time.time() + 86_400):
        assert run.abort.reason is None
        remaining = run.remaining_seconds
    assert remaining is not None
    assert remaining > 1.0


def test_a_child_changes_the_scope_and_shares_the_data() -> None:
    run = make(labels=Labels(private=True))
    run.data["seen"] = 1
    call = run.child(turn=3, index=2)
    assert call.scope == msgspec.structs.replace(run.scope, turn=3, index=2)
    assert call.scope.key == "task_p:3:2"
    assert call.data is run.data
    with pytest.raises(TypeError):
        run.child(nonsense=1)


def test_progress_goes_where_the_call_shows_it() -> None:
    shown: list[str] = []
    run = make()
    run.progress("nowhere")
    call = run.child(turn=1, progress=shown.append)
    call.progress("half")
    call.child().progress("whole")
    assert shown == ["half", "whole"]


async def test_a_submitted_task_is_a_child_in_the_same_name_with_at_least_the_same_labels() -> None:
    call = make(principal="token:ci", labels=Labels("agent", untrusted=True)).child(turn=2, index=1)
    record = await call.submit(Task(prompt="x", principal="owner", parent="task_z", labels=Labels(outward=True)))
    task = record.task
    assert (task.parent, task.principal, task.idempotency_key) == ("task_p", "token:ci", "task_p:2:1:1")
    assert task.labels == Labels("agent", untrusted=True, outward=True)


async def test_a_call_that_starts_again_submits_the_same_tasks_once() -> None:
    queue = Queue()
    for _ in range(3):
        call = make(queue).child(turn=2, index=1)
        await call.submit(Task(prompt="first"))
        await call.submit(Task(prompt="second"))
        await call.submit(Task(prompt="third", idempotency_key="own"))
    assert list(queue.rows) == ["task_p:2:1:1", "task_p:2:1:2", "own"]


async def test_waiting_gives_the_payload_or_parks() -> None:
    assert await make().wait("answered") == {"text": "yes"}
    with pytest.raises(ParkedRun):
        await make().wait("open")


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        (Labels(), Labels(), Labels()),
        (Labels("owner"), Labels("untrusted"), Labels("untrusted")),
        (Labels("untrusted"), Labels("agent"), Labels("untrusted")),
        (Labels(private=True), Labels(outward=True), Labels(private=True, outward=True)),
    ],
)
def test_labels_join_to_the_lowest(first: Labels, second: Labels, joined: Labels) -> None:
    assert join_labels(first, second) == join_labels(second, first) == joined
