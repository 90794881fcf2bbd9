"""Topics on SQLite: bounded, deleted when read, indexed, in one order for all processes."""

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from autohands import storage
from autohands.protocols.errors import TooBusy
from autohands.protocols.topics import Consume, Publish, Subscribe, Unsubscribe
from autohands.sdk.identity import now_ms
from autohands.storage import Store, topics
from autohands.testing.contracts.durable import Durable
from autohands.testing.contracts.topics import TopicsContract, publish, subscribe, unread
from storage.stores import tables

TABLES = ("publication", "delivery")


@pytest.fixture
async def durable(store: Store) -> Durable:
    return Durable(store, store.journal, store.engine)


class TestTopics(TopicsContract):
    pass


def counts(path: Path, *names: str) -> list[int]:
    """How many rows these tables have."""
    with tables(path) as connection:
        return [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names or TABLES]


# --- patterns


def oracle(pattern: str, topic: str) -> bool:
    """The same by a regular expression."""
    word = "[a-z_]+"
    parts = [word if part == "*" else re.escape(part) for part in pattern.removesuffix("**").strip(".").split(".")]
    text = r"\.".join(part for part in parts if part)
    if pattern == "**":
        text = f"{word}(\\.{word})*"
    elif pattern.endswith("**"):
        text += f"(\\.{word})*"
    private = topic.startswith("_") and pattern.partition(".")[0] != topic.partition(".")[0]
    return bool(re.fullmatch(text, topic)) and not private


words = some.sampled_from(["a", "b", "_a"])


@given(
    some.lists(some.one_of(words, some.just("*")), max_size=3),
    some.sampled_from(["", "**"]),
    some.lists(words, min_size=1, max_size=4),
)
def test_a_pattern_means_what_its_regular_expression_means(head: list[str], tail: str, topic: list[str]) -> None:
    pattern = ".".join([*head, tail] if tail else head)
    if pattern:
        assert topics.matches(pattern, ".".join(topic)) is oracle(pattern, ".".join(topic))


# --- bounds


async def test_what_all_have_read_is_deleted(durable: Durable, path: Path) -> None:
    for name in ("one", "two"):
        await subscribe(durable, name, "a")
    seqs = [(await publish(durable, topic)).seq for topic in ("a", "nobody") * 10]
    assert counts(path) == [10, 20]
    await durable.storage.commit(Consume(name="one", seq=seqs[-1]))
    assert counts(path) == [10, 10]
    await durable.storage.commit(Consume(name="two", seq=seqs[-3]))
    assert counts(path) == [1, 1]
    await durable.storage.commit(Unsubscribe(name="two"))
    assert counts(path) == [0, 0]


async def test_lo07_a_publication_that_a_subscriber_has_no_room_for_is_refused(durable: Durable, path: Path) -> None:
    await subscribe(durable, "slow", "a")
    await subscribe(durable, "other", "**")
    for _ in range(4):
        await durable.storage.commit(*[Publish(topic="a", payload={"n": n}) for n in range(topics.MOST_UNREAD // 4)])
    first = (await durable.storage.topics.unread("slow", 1))[0]
    with pytest.raises(TooBusy, match="'slow' is 10,000 publications") as refused:
        await publish(durable, "a")
    assert refused.value.retry_after_seconds > 0
    await durable.storage.commit(Consume(name="slow", seq=first.seq))
    await durable.storage.commit(Consume(name="other", seq=1 << 40))
    await publish(durable, "a")
    with pytest.raises(TooBusy):
        await publish(durable, "a")
    await publish(durable, "b")
    assert (await durable.storage.topics.subscriptions())[1].unread == topics.MOST_UNREAD
    assert counts(path, "delivery") == [topics.MOST_UNREAD + 2]


async def test_lo07_large_payloads_are_refused_before_few_small_ones(durable: Durable, path: Path) -> None:
    await subscribe(durable, "slow", "a")
    with tables(path) as connection:
        connection.execute("UPDATE subscription SET unread_bytes = ?", (topics.MOST_UNREAD_BYTES - 10,))
    with pytest.raises(TooBusy):
        await publish(durable, "a", payload={"text": "more than ten bytes"})
    await publish(durable, "a", payload={"n": 1})


async def test_lo07_there_are_not_endlessly_many_subscriptions(durable: Durable) -> None:
    several = [Subscribe(name=f"s{number}", pattern=f"t{number}") for number in range(topics.MOST_SUBSCRIPTIONS)]
    await durable.storage.commit(*several)
    with pytest.raises(TooBusy):
        await subscribe(durable, "one-more", "a")
    await subscribe(durable, "s1", "t1")
    await subscribe(durable, "passing", "a", now_ms() + 60_000)


async def test_a_page_is_bounded_in_bytes(durable: Durable) -> None:
    await subscribe(durable, "s", "a")
    for _ in range(10):
        await publish(durable, "a", payload={"text": "x" * 1_000_000})
    page = await durable.storage.topics.unread("s")
    assert len(page) == topics.PAGE_BYTES // 1_000_000
    await durable.storage.commit(Consume(name="s", seq=page[-1].seq))
    assert len(await unread(durable, "s")) == 4


async def test_keys_and_passing_subscriptions_are_forgotten_in_time(durable: Durable, path: Path) -> None:
    for number in range(12):
        await subscribe(durable, f"passing{number}", "a", now_ms() + 60_000)
        await publish(durable, "a", key=f"k{number}")
    with tables(path) as connection:
        connection.execute("UPDATE publication_key SET used = 1 WHERE key <> 'k11'")
        connection.execute("UPDATE subscription SET until = 1")
    await publish(durable, "nobody", key="new")
    assert counts(path, "publication_key") == [3]
    for name in ("new1", "new2"):
        await subscribe(durable, name, "b", now_ms() + 60_000)
    assert counts(path, "subscription", "delivery", "publication") == [2, 0, 0]
    assert (await publish(durable, "a", key="k0")).seq > (await publish(durable, "a", key="k11")).seq


# --- speed


def plan(connection: sqlite3.Connection, query: str, values: tuple[object, ...] = ()) -> str:
    """How SQLite would go about a query."""
    return " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values))


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (topics._READERS, ("a", 1)),
        (topics._UNREAD, ("s", 1)),
        (topics._DELETE_READ, (1,)),
        ("DELETE FROM delivery WHERE subscriber = ? AND seq <= ?", ("s", 1)),
        ("DELETE FROM subscription WHERE name = ?", ("s",)),
        ("SELECT name FROM subscription WHERE until <= ? ORDER BY until LIMIT ?", (1, 1)),
        ("SELECT key FROM publication_key WHERE used <= ? ORDER BY used LIMIT ?", (1, 1)),
    ],
)
async def test_every_statement_is_indexed(store: Store, path: Path, query: str, values: tuple[object, ...]) -> None:
    with tables(path) as connection:
        steps = plan(connection, query, values)
    assert "SCAN" not in steps
    assert "TEMP B-TREE" not in steps


async def test_a_scan_is_seen(store: Store, path: Path) -> None:
    with tables(path) as connection:
        assert "SCAN" in plan(connection, "SELECT name FROM subscription WHERE created = 1")


# --- several processes, and restarts


@pytest.fixture
async def others(path: Path, durable: Durable) -> AsyncIterator[list[Store]]:
    """Two more stores on the same file, as other processes have them."""
    async with storage.open(path) as one, storage.open(path) as two:
        yield [one, two]


async def test_all_read_the_same_order_whoever_publishes(durable: Durable, others: list[Store]) -> None:
    await subscribe(durable, "s", "t.*")
    seen: list[str] = []

    async def tell(store: Store, who: str) -> None:
        for number in range(40):
            await store.commit(Publish(topic=f"t.{who}", payload={"n": number}))

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for store, who in zip(others, ("one", "two"), strict=True):
            group.create_task(tell(store, who))
        with durable.storage.listen("topics") as bell:
            while len(seen) < 80:
                page = await durable.storage.topics.unread("s", 7)
                for publication in page:
                    seen.append(f"{publication.topic} {publication.payload['n']}")
                    await durable.storage.commit(Consume(name="s", seq=publication.seq))
                if not page:
                    await bell.wait()
    for who in ("one", "two"):
        assert [each for each in seen if who in each] == [f"t.{who} {number}" for number in range(40)]


KILLED = """
import asyncio, sys
from pathlib import Path
from autohands import storage
from autohands.protocols.topics import Consume, Publish, Subscribe

async def main() -> None:
    async with storage.open(Path(sys.argv[1])) as store:
        await store.commit(Subscribe(name="s", pattern="a"))
        for number in range(5):
            await store.commit(Publish(topic="a", payload={"n": number}, key=f"k{number}"))
            print(number, flush=True)
        for publication in await store.topics.unread("s"):
            await store.commit(Consume(name="s", seq=publication.seq))
            print("read", publication.payload["n"], flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("place", "said", "left"),
    [("topics.published:3", "0 1", [0, 1]), ("topics.consumed:2", "0 1 2 3 4 read 0", [1, 2, 3, 4])],
)
async def test_cr01_what_was_not_acknowledged_has_not_happened(
    path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str, left: list[int]
) -> None:
    monkeypatch.setenv("AUTOHANDS_FAILPOINT", place)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, said.split()), done.stderr
    async with storage.open(path) as store:
        assert [each.payload["n"] for each in await store.topics.unread("s")] == left
        again = await store.commit(Publish(topic="a", payload={"n": 0}, key="k0"))
        assert again[0].seq == 1
