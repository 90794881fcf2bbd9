"""Small tables: workspaces, sessions, jobs, blobs, executors, the ledger's reservations."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autohands import storage
from autohands.protocols.changes import (
    AskApproval,
    Cancel,
    Decide,
    Finish,
    ForgetSession,
    Redo,
    Reserve,
    Settle,
    Signal,
)
from autohands.protocols.errors import BadRequest, Conflict, NotFound, StorageUnavailable
from autohands.protocols.messages import BlobRef, Usage
from autohands.protocols.process import JobRow
from autohands.protocols.storage import Lease
from autohands.sdk.identity import now_ms
from autohands.storage import Store, executors
from autohands.storage.ledger import day_of
from autohands.testing.contracts.durable import question
from storage.stores import leased, serving, soon, submit, tables

DONE = Finish(state="done", reason="done")


# --- tasks and workspaces


@pytest.mark.parametrize(
    "fields",
    [
        {"priority": "sometime"},
        {"priority": 61},
        {"id": "no spaces"},
        {"workspace": "/does/not/exist"},
        {"workspace": __file__},
        {"workspace": "nul\0byte"},
        {"session": "x" * 129},
        {"session": ""},
    ],
)
async def test_what_makes_no_sense_is_refused_and_leaves_nothing(store: Store, fields: dict[str, Any]) -> None:
    if fields == {"session": ""}:
        assert (await submit(store, **fields)).session.startswith("ses_")
        return
    with pytest.raises(BadRequest):
        await submit(store, **fields)
    assert await store.tasks() == []
    assert await store.sessions() == []


async def test_a_parent_must_be_ones_own(store: Store) -> None:
    parent = await submit(store, principal="token:a")
    with pytest.raises(NotFound):
        await submit(store, parent=parent.id)
    child = await submit(store, parent=parent.id, principal="token:a")
    assert (child.root, (await submit(store, parent=child.id, principal="token:a")).root) == (parent.id, parent.id)


async def test_an_id_is_taken_once(store: Store) -> None:
    assert (await submit(store, id="task_mine")).id == "task_mine"
    with pytest.raises(Conflict):
        await submit(store, id="task_mine")


async def test_who_serves_a_task_is_no_part_of_the_request(store: Store) -> None:
    first = await submit(store, idempotency_key="k", queue="one")
    assert (await submit(store, idempotency_key="k", queue="two")).id == first.id


@pytest.mark.parametrize(
    ("prompt", "title"), [("List\n the  files", "List the files"), ("x" * 500, "x" * 59 + "…"), ("é" * 60, "é" * 60)]
)
async def test_a_session_is_called_after_its_first_prompt(store: Store, prompt: str, title: str) -> None:
    record = await submit(store, prompt, session="s")
    await submit(store, "something else", session="s")
    assert (await store.session(record.session)).title == title


async def test_a_session_works_in_one_workspace(store: Store, tmp_path: Path) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    one.mkdir()
    two.mkdir()
    link.symlink_to(one)
    first = await submit(store, session="s", workspace=str(link))
    assert first.task.workspace == str(one) == (await store.session("s")).workspace
    assert (await submit(store, session="s", workspace=str(one))).task.workspace == str(one)
    assert (await submit(store, session="s")).task.workspace == str(one)
    with pytest.raises(Conflict, match="works in"):
        await submit(store, session="s", workspace=str(two))
    await submit(store, session="later")
    assert (await submit(store, session="later", workspace=str(two))).task.workspace == str(two)
    with tables(store._database.path) as connection:
        assert connection.execute("SELECT root FROM workspace ORDER BY root").fetchall() == [(str(one),), (str(two),)]


@pytest.mark.parametrize("search", ["100%", "a_b", "\\", '"quoted"', "größe", "%"])
async def test_a_search_is_for_the_text_as_it_is(store: Store, search: str) -> None:
    record = await submit(store, f"before {search} after")
    await submit(store, "1000 aXb grosse")
    assert [each.id for each in await store.sessions(search=search)] == [record.session]
    assert await store.sessions(search=search, principal="token:other") == []


async def test_signals_of_ours_are_reserved(store: Store) -> None:
    record = await submit(store)
    with pytest.raises(BadRequest):
        await store.commit(Signal(task=record.id, topic="words", payload={}))
    with pytest.raises(NotFound):
        await store.commit(Signal(task="task_none", topic="go", payload={}))


async def test_a_beginning_that_fits_several_is_not_found(store: Store) -> None:
    ids = [(await submit(store, id=f"task_same_{number}")).id for number in range(2)]
    with pytest.raises(NotFound, match="several") as several:
        await store.task("task_same_")
    assert all(each in (several.value.hint or "") for each in ids)
    with pytest.raises(NotFound):
        await store.task("task")


async def test_forgetting_leaves_no_row_but_the_ledgers(store: Store, tmp_path: Path) -> None:
    record = await submit(store)
    await store.save_job(job(record.session))
    async with leased(store, record.id) as lease:
        await lease.commit(Reserve(key="a", micro_usd=5, run_cap=None, day_cap=None), DONE)
    await store.commit(ForgetSession(session=record.session))
    with pytest.raises(NotFound):
        await store.commit(ForgetSession(session=record.session))
    with tables(store._database.path) as connection:
        for table in ("session", "task", "step", "event", "signal", "approval", "job"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
        assert connection.execute("SELECT reserved FROM ledger").fetchall() == [(5,)]


# --- money


async def test_bu02_parallel_runs_cannot_overspend(store: Store) -> None:
    records = [await submit(store) for _ in range(4)]
    granted: list[bool] = []

    async def spend(task: str) -> None:
        async with leased(store, task) as lease:
            for number in range(10):
                reserve = Reserve(key=f"{number}", micro_usd=10, run_cap=None, day_cap=205)
                granted.extend(await lease.commit(reserve))
            await lease.commit(DONE)

    await asyncio.gather(*(spend(record.id) for record in records))
    assert sum(granted) == 20
    assert await store.spent() == 200


async def test_bu03_a_reservation_outlives_the_program(path: Path) -> None:
    async with storage.open(path) as store:
        record = await submit(store)
        async with leased(store, record.id) as lease:
            await lease.commit(Reserve(key="a", micro_usd=70, run_cap=100, day_cap=None))
    async with storage.open(path) as store:
        assert await store.spent(record.id) == await store.spent() == 70
        async with leased(store, record.id) as lease:
            again = Reserve(key="a", micro_usd=70, run_cap=100, day_cap=None)
            assert await lease.commit(again) == [False]
            settled = await lease.commit(
                Settle(key="a", micro_usd=20, usage=Usage(1, 2), model="m"),
                Settle(key="a", micro_usd=5, usage=Usage(1, 2), model="m"),
                again,
            )
            assert settled == [20, 25, True]
        assert await store.spent("task_none") == 0


def test_a_day_ends_at_midnight_utc() -> None:
    assert (day_of(86_400_000 - 1), day_of(86_400_000)) == ("1970-01-01", "1970-01-02")


# --- approvals


async def test_an_answer_that_comes_too_late_is_refused(store: Store) -> None:
    record = await submit(store)
    async with leased(store, record.id) as lease:
        late, timely = question(record.id, "apr_1", now_ms() - 1), question(record.id, "apr_2", now_ms() + 60_000)
        await lease.commit(AskApproval(approval=late), AskApproval(approval=timely), AskApproval(approval=late))
        with pytest.raises(Conflict, match="expired"):
            await store.commit(Decide(approval="apr_1", decision="allow", by="me"))
        decided = (await store.commit(Decide(approval="apr_2", decision="deny", by="me")))[0]
        assert (decided.state, decided.by) == ("deny", "me")
        assert [each.id for each in await store.approvals()] == ["apr_1"]
        await lease.commit(DONE)
    assert await store.approvals() == []
    assert [each.state for each in await store.approvals(pending=False)] == ["expired", "deny"]


# --- jobs and executors


def job(session: str, id: str = "job_1", status: Any = "running") -> JobRow:
    return JobRow(id=id, session=session, executor="me", command="sleep 9", status=status, pid=1, started=5)


async def test_jobs_of_a_program_that_is_gone_are_lost(path: Path) -> None:
    async with storage.open(path) as store:
        for row in (job("s1"), job("s1", "job_2", "exited"), job("s2", "job_3")):
            await store.save_job(row)
        await store.save_job(job("s1"))
        assert [row.id for row in await store.jobs("s1")] == ["job_1", "job_2"]
        async with storage.open(path) as other:
            assert [row.status for row in await other.jobs()] == ["running", "exited", "running"]
    with tables(path) as connection:
        connection.execute("UPDATE executor SET born = 'then'")
    async with storage.open(path) as store:
        rows = await store.jobs()
        assert [(row.status, row.ended is not None) for row in rows] == [
            ("lost", True),
            ("exited", False),
            ("lost", True),
        ]
        assert rows[0].reason == "lost"


def test_a_process_is_gone_when_its_pid_is_free_or_another_ones() -> None:
    here = executors.this_process()
    assert not executors.is_gone(here, here)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = executors.Identity(here.host, here.boot, child.pid, executors.started_at(child.pid) or "")
    assert not executors.is_gone(other, here)
    reused = executors.Identity(here.host, here.boot, os.getpid(), other.born + "0")
    assert executors.is_gone(reused, here)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert executors.is_gone(other, here)  # dead, though nobody has read its status yet
    child.communicate(timeout=10)
    assert executors.is_gone(other, here)


# --- blobs


async def test_blobs_are_kept_once_by_content(store: Store) -> None:
    refs = [await store.blobs.put(b"picture", mime) for mime in ("image/png", "image/png")]
    assert refs[0] == refs[1] == BlobRef(refs[0].sha256, "image/png", 7)
    assert await store.blobs.get(refs[0]) == b"picture"
    folder = store._database.path.parent / "blobs"
    assert [each.name for each in folder.rglob("*") if each.is_file()] == [refs[0].sha256]


@pytest.mark.parametrize("digest", ["0" * 64, "./../autohands.db", "", "G" * 64])
async def test_what_was_never_stored_is_not_found(store: Store, digest: str) -> None:
    with pytest.raises(NotFound):
        await store.blobs.get(BlobRef(digest, "text/plain", 1))


async def test_a_blob_cut_short_by_a_crash_is_written_again(store: Store) -> None:
    ref = await store.blobs.put(b"picture", "image/png")
    file = store._database.path.parent / "blobs" / ref.sha256[:2] / ref.sha256
    file.write_bytes(b"pic")
    await store.blobs.put(b"picture", "image/png")
    assert await store.blobs.get(ref) == b"picture"


async def test_a_blob_that_cannot_be_written_says_why(store: Store) -> None:
    (store._database.path.parent / "blobs").write_text("in the way")
    with pytest.raises(StorageUnavailable) as refused:
        await store.blobs.put(b"picture", "image/png")
    assert "blobs" in refused.value.text


async def test_cancelling_a_family_reaches_its_last_child(store: Store) -> None:
    tasks = [await submit(store)]
    for _ in range(3):
        tasks.append(await submit(store, parent=tasks[-1].id))
    await store.commit(Cancel(task=tasks[1].id))
    assert [(await store.task(task.id)).state for task in tasks] == ["ready", "cancelled", "cancelled", "cancelled"]


async def test_cr17_a_damaged_request_ends_its_own_task_and_no_other(store: Store, path: Path) -> None:
    damaged, sound = await submit(store, "one"), await submit(store, "two")
    with tables(path) as connection:
        connection.execute("UPDATE task SET request = x'7b22' WHERE id = ?", (damaged.id,))
    assert [record.task.kind for record in await store.tasks()] == ["agent", "damaged"]
    handled = list[str]()

    async def handler(lease: Lease) -> None:
        handled.append(lease.record.id)
        await lease.commit(Finish(state="done", reason="done"))

    async with serving(store, handler):
        await soon(lambda: has_ended(store, damaged.id, sound.id))
    assert handled == [sound.id]
    record = await store.task(damaged.id)
    assert record.state == "dead"
    assert "cannot be read" in (record.error or "")
    with pytest.raises(Conflict, match="cannot be read"):
        await store.commit(Redo(task=damaged.id))


async def has_ended(store: Store, *ids: str) -> bool:
    return all([(await store.task(task)).finished for task in ids])
