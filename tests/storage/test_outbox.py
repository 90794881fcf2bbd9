"""The outbox on SQLite: its conformance class, and what only this engine can be asked."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autohands import storage
from autohands.protocols.changes import Finish, Redo
from autohands.protocols.errors import TooBusy
from autohands.protocols.outbox import (
    MOST_PENDING,
    DecideMessage,
    MessageRecord,
    Send,
    SettleMessage,
    StrandMessages,
    TakeMessages,
)
from autohands.protocols.storage import Lease
from autohands.sdk.identity import now_ms
from autohands.storage import Store, outbox
from autohands.storage.transaction import Transaction
from autohands.testing.contracts.durable import Durable, serve
from autohands.testing.contracts.outbox import OutboxContract, settle, take
from storage.stores import submit, tables

TAKER = """
import asyncio, os, signal, sys
from pathlib import Path
from autohands import storage
from autohands.protocols.outbox import TakeMessages

async def main():
    async with storage.open(Path(sys.argv[1])) as store:
        (taken,) = await store.commit(TakeMessages(channel="c", most=1))
        assert len(taken) == 1
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.fixture
async def durable(path: Path) -> AsyncIterator[Durable]:
    async with storage.open(path) as store:
        yield Durable(store, store.journal, store.engine)


class TestOutbox(OutboxContract):
    pass


def doors(store: Store) -> Durable:
    return Durable(store, store.journal, store.engine)


async def test_cr03_what_a_killed_program_was_sending_comes_back_at_once_and_in_doubt(store: Store, path: Path) -> None:
    sent: MessageRecord
    sent, _ = await store.commit(Send(address="c:t", text="first"), Send(address="c:t", text="second"))
    taker = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", TAKER, str(path)], timeout=30)
    assert taker.returncode == -9
    assert (await store.outbox.get(sent.id)).state == "sending"
    (again,) = await take(doors(store))
    assert (again.id, again.doubtful, again.attempt, again.text) == (sent.id, True, 2, "first")


async def test_a_channel_takes_so_many_and_replies_always(store: Store, path: Path) -> None:
    with tables(path) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO message(id, channel, address, key, text, images, state, send_at, created, updated)"
            " SELECT 'm' || i, 'c', 'c:' || (i % 50), i, 'x', x'5b5d', 'pending', 0, 0, 0 FROM n",
            (MOST_PENDING - 1,),
        )
    last: MessageRecord
    (last,) = await store.commit(Send(address="c:t", text="the last", key="k"))
    with pytest.raises(TooBusy) as busy:
        await store.commit(Send(address="c:t", text="one too many"))
    assert busy.value.retry_after_seconds > 0
    assert await store.commit(Send(address="c:t", text="the last", key="k")) == [last]
    await store.commit(Send(address="d:t", text="elsewhere there is room"))
    record = await submit(store, reply_address="c:t")
    await end(store, record.id, "42")
    assert (await store.outbox.all(limit=1))[0].text == "42"


async def end(store: Store, task: str, text: str, state: str = "done") -> None:
    done = Finish(state="done", reason="done", text=text)
    finish = done if state == "done" else Finish(state="failed", reason="failed")

    async def handler(lease: Lease) -> None:
        await lease.commit(finish)

    await serve(doors(store), task, handler)


async def test_a_task_that_is_taken_up_again_and_ends_again_answers_again(store: Store) -> None:
    record = await submit(store, reply_address="c:t")
    await end(store, record.id, "", state="failed")
    await store.commit(Redo(task=record.id))
    await end(store, record.id, "42")
    second, first = await store.outbox.all()
    assert (first.key, second.key, second.text) == (f"reply:{record.id}", f"reply:{record.id}:2", "42")
    (taken,) = await take(doors(store))
    assert taken.id == first.id
    await settle(doors(store), taken, "sent")


def test_no_statement_reads_all_messages(path: Path, store: Store) -> None:
    """100,000 messages, most of them sent, 10,000 waiting in one thread."""
    with tables(path) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
            " INSERT INTO message(id, channel, address, key, text, images, state, head, send_at, created, updated)"
            " SELECT 'message' || i, 'c', 'c:t', i, 'x', x'5b5d', iif(i > 90000, 'pending', 'sent'), i = 90001, 0, 0, 0"
            " FROM n"
        )
        told: list[str] = []
        connection.set_trace_callback(told.append)
        tx = Transaction(connection, now_ms())
        outbox.send(tx, Send(address="d:t", text="x"))
        outbox.strand(tx, StrandMessages(channel="d", reason="why"))
        (message,) = outbox.take(tx, TakeMessages(channel="c", most=8))
        outbox.settle(tx, SettleMessage(message=message.id, attempt=1, state="held"))
        outbox.decide(tx, DecideMessage(message=message.id, send=True))
        assert dict(connection.execute(outbox._DUE, {"now": tx.now})).keys() == {"c", "d"}
        outbox._newest(connection, ("held", "pending"), 10)
        connection.set_trace_callback(None)
        plans = {each: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {each}")] for each in told}
    assert len(plans) > 10
    scans = [
        (each, line) for each, plan in plans.items() for line in plan if line.startswith(("SCAN message", "SCAN m "))
    ]
    assert scans == []


@pytest.mark.parametrize(("put_off", "taken"), [(0, 0), (1, 1)])
async def test_ti04_a_message_put_off_before_the_clock_was_set_back_is_sent(
    store: Store, path: Path, put_off: int, taken: int
) -> None:
    """`put_off` years after now: then its next time is in that year too."""
    await store.commit(Send(address="c:t", text="x"))
    (message,) = await take(doors(store))
    year = 365 * 86_400_000
    await settle(doors(store), message, "pending", send_at=now_ms() + year)
    with tables(path) as connection:
        connection.execute("UPDATE message SET updated = updated + ?", (put_off * year,))
    assert ((await store.outbox.due())["c"] <= now_ms()) == bool(taken)
    assert len(await take(doors(store))) == taken
