"""What is too old goes; what has not ended, what is referred to and what is young stays; others write meanwhile."""

import asyncio
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest

from autohands import storage
from autohands.protocols.changes import Cancel, Fork
from autohands.protocols.errors import NotFound
from autohands.protocols.events import RunFinished
from autohands.protocols.messages import BlobRef
from autohands.protocols.upkeep import Retained, Retention
from autohands.storage.retention import DAY_MS, _forget
from storage.stores import submit, tables

NOTHING = Retained()


@pytest.fixture
def now() -> int:
    return int(time.time() * 1000)


def age(path: Path, days: float, where: str = "1") -> None:
    """Make sessions and what is in them older."""
    with tables(path) as connection:
        by = int(days * DAY_MS)
        connection.execute(f"UPDATE session SET updated = updated - {by} WHERE {where}")
        connection.execute(
            f"UPDATE task SET ended = ended - {by} WHERE session IN(SELECT id FROM session WHERE {where})"
        )
        connection.execute(f"UPDATE blob SET created = created - {by}")


def number(path: Path, table: str) -> int:
    with tables(path) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def ended(store: storage.Store, session: str) -> str:
    """A task that has ended."""
    record = await submit(store, session=session)
    await store.commit(Cancel(task=record.id))
    return record.id


async def test_cr15_old_sessions_go_with_all_that_is_theirs_and_unfinished_ones_stay(
    store: storage.Store, path: Path
) -> None:
    old = await ended(store, "old")
    unfinished = (await submit(store, session="unfinished")).id
    age(path, 91)
    young = await ended(store, "young")
    assert (await store.retain(Retention())).sessions == 1
    assert {task.id for task in await store.tasks()} == {unfinished, young}
    with pytest.raises(NotFound):
        await store.journal.events(old)
    assert (await store.retain(Retention())) == NOTHING


async def test_cr15_of_too_many_sessions_the_least_recently_used_go(store: storage.Store, path: Path) -> None:
    for name in range(6):
        await ended(store, f"s{name}")
        age(path, 1)
    await submit(store, session="busy")
    age(path, 50, "name = 'busy'")
    assert (await store.retain(Retention(sessions=3))).sessions == 3
    assert [each.name for each in await store.sessions()] == ["s5", "s4", "s3", "busy"]


@pytest.mark.parametrize(("forked", "gone"), [(True, 0), (False, 1)])
async def test_cr15_a_session_that_others_go_on_from_stays(
    store: storage.Store, path: Path, *, forked: bool, gone: int
) -> None:
    old = await ended(store, "old")
    if forked:
        await store.commit(Fork(task=old))
    age(path, 91, "name = 'old'")
    assert (await store.retain(Retention())).sessions == gone


async def test_cr15_a_session_whose_last_task_has_just_ended_stays(store: storage.Store, path: Path) -> None:
    waited = await submit(store, session="waited")
    with tables(path) as connection:
        connection.execute("UPDATE session SET updated = updated - ?", (100 * DAY_MS,))
    await store.commit(Cancel(task=waited.id))
    assert (await store.retain(Retention())).sessions == 0
    age(path, 91)
    assert (await store.retain(Retention())).sessions == 1


@pytest.mark.parametrize("meanwhile", ["used", "forked", "left alone"])
async def test_cr15_a_session_that_is_taken_up_while_old_ones_go_stays(
    store: storage.Store, path: Path, meanwhile: str
) -> None:
    old = await ended(store, "old")
    age(path, 91)
    with tables(path) as connection:
        found = connection.execute("SELECT id, updated FROM session").fetchone()
    if meanwhile == "used":
        await ended(store, "old")
    if meanwhile == "forked":
        await store.commit(Fork(task=old))
    assert await store._database.write(partial(_forget, found=found)) == (meanwhile == "left alone")


async def test_cr15_old_events_go_but_the_last_which_readers_end_with(store: storage.Store, path: Path) -> None:
    task = await ended(store, "one")
    events = await store.journal.events(task)
    age(path, 31)
    kept = await store.retain(Retention())
    assert (kept.sessions, kept.events) == (0, len(events) - 1)
    async with asyncio.timeout(10):
        followed = [line async for line in store.journal.follow(task)]
    assert followed == events[-1:]
    assert msgspec.json.decode(followed[0])["type"] == "run.finished"
    assert RunFinished.__struct_config__.tag == "run.finished"
    assert (await store.session("one")).tasks == 1
    assert (await store.retain(Retention())) == NOTHING


async def test_cr15_events_of_a_task_that_has_not_ended_stay_whatever_their_age(
    store: storage.Store, path: Path
) -> None:
    task = (await submit(store, session="one")).id
    with tables(path) as connection:
        connection.execute("UPDATE event SET at = 0")
    assert (await store.retain(Retention(journal_days=0.0001))).events == 0
    assert len(await store.journal.events(task)) == 1


async def test_cr15_settled_messages_and_all_but_the_last_occurrences(
    store: storage.Store, path: Path, now: int
) -> None:
    with tables(path) as connection:
        for at, state in enumerate(("sent", "dead", "pending", "held", "sent")):
            updated = now if at == 4 else now - 31 * DAY_MS
            connection.execute(
                "INSERT INTO message(id, channel, address, key, text, images, state, send_at, created, updated)"
                " VALUES(?, 'c', 'a', ?, '', x'', ?, 0, 0, ?)",
                (f"m{at}", f"k{at}", state, updated),
            )
        connection.execute(
            "INSERT INTO schedule(name, schedule, state, created, updated) VALUES('s', x'', 'over', 0, 0)"
        )
        for at in range(25):
            connection.execute("INSERT INTO occurrence(schedule, at, state, created) VALUES('s', ?, 'fired', 0)", (at,))
    kept = await store.retain(Retention(occurrences=10))
    assert (kept.messages, kept.occurrences) == (2, 15)
    with tables(path) as connection:
        assert connection.execute("SELECT id FROM message ORDER BY id").fetchall() == [("m2",), ("m3",), ("m4",)]
        assert connection.execute("SELECT min(at), count(*) FROM occurrence").fetchone() == (15, 10)


async def test_cr15_images_that_nothing_speaks_of_go_after_a_day(store: storage.Store, path: Path) -> None:
    young = await store.blobs.put(b"young", "image/png")
    assert (await store.retain(Retention())).blobs == 0
    spoken = await store.blobs.put(b"spoken of", "image/png")
    unused = await store.blobs.put(b"unused", "image/png")
    await submit(store, prompt=f"look at {spoken.sha256}")
    age(path, 2)
    again = await store.blobs.put(b"young", "image/png")
    assert (await store.retain(Retention())).blobs == 1
    assert await gone(store, unused)
    assert again == young
    assert not await gone(store, young)
    assert not await gone(store, spoken)


async def gone(store: storage.Store, ref: BlobRef) -> bool:
    try:
        await store.blobs.get(ref)
    except NotFound:
        return True
    return False


async def test_an_image_that_goes_while_it_is_stored_again_is_written_anew(store: storage.Store, path: Path) -> None:
    ref = await store.blobs.put(b"picture", "image/png")
    age(path, 2)
    results = await asyncio.gather(
        *(store.blobs.put(b"picture", "image/png") for _ in range(5)), store.retain(Retention())
    )
    assert results[:5] == [ref] * 5
    assert await store.blobs.get(ref) == b"picture"


async def test_cr15_old_copies_go(store: storage.Store, path: Path) -> None:
    for _ in range(4):
        await store.back_up(9)
    assert (await store.retain(Retention(backups=2))).backups == 2
    assert len(list((path.parent / "backups").iterdir())) == 2


@pytest.mark.slow
async def test_cr15_over_simulated_months_the_file_stays_bounded_and_others_write(
    store: storage.Store, path: Path
) -> None:
    sizes, waited = [], 0.0
    for month in range(6):
        await asyncio.to_thread(fill, path, month, sessions=150, events=20)
        age(path, 31)
        retaining = asyncio.create_task(store.retain(Retention(sessions_days=60)))
        while not retaining.done():
            began = time.monotonic()
            record = await submit(store, session=f"present{month}")
            await store.commit(Cancel(task=record.id))
            waited = max(waited, time.monotonic() - began)
        assert (await retaining).bytes >= 0
        with tables(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        sizes.append(path.stat().st_size)
    assert max(sizes[3:]) < 1.5 * sizes[2]
    assert number(path, "session") < 3 * 150
    assert waited < 5.0
    with tables(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def fill(path: Path, month: int, *, sessions: int, events: int) -> None:
    """A month's work, all of it ended now."""
    now = int(time.time() * 1000)
    with tables(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for each in range(sessions):
            name = f"m{month}-{each}"
            connection.execute(
                "INSERT INTO session(id, principal, name, agent, created, updated) VALUES(?1, 'owner', ?1, 'general',"
                " ?2, ?2)",
                (name, now),
            )
            task = connection.execute(
                "INSERT INTO task(id, session, principal, source, queue, kind, agent, labels, root, request, rank,"
                " status, max_attempts, created, updated, ended) VALUES(?1, ?1, 'owner', 'cli', 'default', 'agent',"
                " 'general', x'7b7d', ?1, CAST('{\"prompt\":\"go\"}' AS BLOB), 0, 'done', 5, ?2, ?2, ?2)",
                (name, now),
            ).lastrowid
            for seq in range(1, events + 1):
                connection.execute(
                    "INSERT INTO event VALUES(?, ?, 'x', ?, NULL, NULL, zeroblob(300))", (task, seq, now)
                )
            connection.execute(
                "INSERT INTO step(task, turn, idx, kind, name, status, idempotent, output, started)"
                " VALUES(?, 1, 0, 'model', 'm', 'done', 1, zeroblob(2000), 0)",
                (task,),
            )
        connection.execute("COMMIT")
