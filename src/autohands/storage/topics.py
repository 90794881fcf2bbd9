"""Topics: what was published, and who reads it.

A publication is matched with the subscriptions once, when it is published: a row of `delivery` is what one subscriber
has still to deal with. So a narrow pattern costs nothing while others fall behind.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from autohands.protocols.errors import BadRequest, Conflict, NotFound, TooBusy
from autohands.protocols.topics import Consume, Publication, Publish, Subscribe, Subscription, Unsubscribe
from autohands.sdk.failpoint import failpoint
from autohands.storage.readers import Readers
from autohands.storage.transaction import Transaction

MOST_UNREAD: Final = 10_000
MOST_UNREAD_BYTES: Final = 64 << 20
MOST_PAYLOAD_BYTES: Final = 1 << 20
MOST_SUBSCRIPTIONS: Final = 1_000
PAGE_BYTES: Final = 4 << 20
DEEPEST: Final = 100
KEY_MS: Final = 7 * 86_400_000
SWEPT: Final = 10
BUSY_SECONDS: Final = 5.0

_LONGEST_TOPIC: Final = 255
_LONGEST_KEY: Final = 255
_WORD: Final = r"[A-Za-z0-9_-]+"
_TOPIC: Final = re.compile(rf"{_WORD}(\.{_WORD})*")
_PATTERN: Final = re.compile(rf"(({_WORD}|\*)\.)*({_WORD}|\*|\*\*)")
_KEY: Final = re.compile(rf"[^\x00-\x1f\ud800-\udfff]{{1,{_LONGEST_KEY}}}")
_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LAST: Final = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'publication'), 0)"
_READERS: Final = (
    "SELECT name, pattern, unread, unread_bytes FROM subscription WHERE pattern = ?1 AND coalesce(until, ?2 + 1) > ?2"
    " UNION ALL SELECT name, pattern, unread, unread_bytes FROM subscription"
    " WHERE wild = 1 AND coalesce(until, ?2 + 1) > ?2"
)
_SUBSCRIPTION: Final = "SELECT name, pattern, cursor, unread, unread_bytes, created FROM subscription"
_UNREAD: Final = (
    "SELECT p.seq, p.topic, p.payload, p.reply_to, p.created FROM delivery d JOIN publication p ON p.seq = d.seq"
    " WHERE d.subscriber = ? ORDER BY d.seq LIMIT ?"
)
_DELETE_READ: Final = (
    "DELETE FROM publication WHERE seq = ?1 AND NOT EXISTS(SELECT 1 FROM delivery WHERE delivery.seq = ?1)"
)

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_payload: Final = msgspec.json.Decoder(dict[str, Any])


class _Reader(Struct, frozen=True):
    """A subscription that gets a publication, and what it has not read yet."""

    name: str
    pattern: str
    unread: int
    unread_bytes: int


def matches(pattern: str, topic: str) -> bool:
    """Whether a subscription's pattern stands for a topic."""
    wanted, words = pattern.split("."), topic.split(".")
    if words[0].startswith("_") and wanted[0] != words[0]:
        return False
    if wanted[-1] == "**":
        del wanted[-1]
        words = words[: len(wanted)]
    return len(wanted) == len(words) and all(one in ("*", word) for one, word in zip(wanted, words, strict=True))


def publish(tx: Transaction, change: Publish) -> Publication:
    """Keep a payload for those who read its topic.

    Raises:
        BadRequest: That is no topic, or the payload is no JSON or too large.
        Conflict: The key was used for something else. TooBusy: A subscriber is too far behind.
    """
    payload = _checked(change)
    if change.key is not None and (known := _known(tx, change, payload)):
        return known
    readers = _readers(tx, change.topic)
    for reader in readers:
        _check_room(reader, change.topic, len(payload))
    seq = _insert(tx, change, payload, readers)
    if change.key is not None:
        _keep_key(tx, change.key, seq, _digest(change, payload))
    failpoint("topics.published")
    tx.kinds.add("topics")
    return _publication(change, seq, tx.now)


def _publication(change: Publish, seq: int, created: int) -> Publication:
    return Publication(seq=seq, topic=change.topic, payload=change.payload, reply_to=change.reply_to, created=created)


def _checked(change: Publish) -> bytes:
    """The payload of a publication as bytes, if it makes sense."""
    for topic in (change.topic, change.reply_to):
        if topic is not None and (len(topic) > _LONGEST_TOPIC or not _TOPIC.fullmatch(topic)):
            raise BadRequest(
                f"{topic[:200]!r} is no topic",
                hint=f"write words of letters, digits, _ and -, joined by dots, at most {_LONGEST_TOPIC} characters",
            )
    if change.key is not None and not _KEY.fullmatch(change.key):
        raise BadRequest(
            f"a publication's key has 1 to {_LONGEST_KEY} printable characters", hint="send a digest of it"
        )
    return _encoded(change)


def _encoded(change: Publish) -> bytes:
    """The payload as JSON that everybody can read again."""
    try:
        payload = _encode(change.payload)
        again = msgspec.json.decode(payload)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadRequest(f"the payload for {change.topic} cannot be written as JSON: {error}") from None
    nested = payload.count(b"{") + payload.count(b"[") > DEEPEST
    if not isinstance(again, dict) or (nested and _is_deep(again, DEEPEST)):
        raise BadRequest(f"the payload for {change.topic} is no JSON object of at most {DEEPEST} levels")
    if len(payload) > MOST_PAYLOAD_BYTES:
        raise BadRequest(
            f"the payload for {change.topic} has {len(payload):,} bytes; {MOST_PAYLOAD_BYTES:,} is the most",
            hint="keep it in a file, and publish its path",
        )
    return payload


def _is_deep(value: object, levels: int) -> bool:
    """Whether it has more levels: what was written on a short stack must be read on a longer one."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deep(each, levels - 1) for each in inside)


def _digest(change: Publish, payload: bytes) -> bytes:
    return hashlib.sha256(_encode((change.topic, change.reply_to)) + payload).digest()


def _known(tx: Transaction, change: Publish, payload: bytes) -> Publication | None:
    """The publication that a key stands for."""
    row = tx.connection.execute(
        "UPDATE publication_key SET used = ? WHERE key = ? AND used > ? RETURNING seq, body_hash, created",
        (tx.now, change.key, tx.now - KEY_MS),
    ).fetchone()
    if row is None:
        return None
    if row[1] != _digest(change, payload):
        raise Conflict(
            f"the key {change.key!r} was used for another publication, number {row[0]}",
            hint="use a new key for something new",
        )
    return _publication(change, row[0], row[2])


def _readers(tx: Transaction, topic: str) -> list[_Reader]:
    """The subscriptions that a topic is for, as long as their time is not over. Whoever names it is found by index;
    patterns are tried one by one."""
    found = [_Reader(*row) for row in tx.connection.execute(_READERS, (topic, tx.now))]
    return [reader for reader in found if matches(reader.pattern, topic)]


def _check_room(reader: _Reader, topic: str, size: int) -> None:
    if reader.unread < MOST_UNREAD and reader.unread_bytes + size <= MOST_UNREAD_BYTES:
        return
    raise TooBusy(
        f"{topic}: the subscriber {reader.name!r} is {reader.unread:,} publications of {reader.unread_bytes:,} bytes"
        " behind",
        retry_after_seconds=BUSY_SECONDS,
        hint=f"let it read, or end it with `autohands topic unsubscribe {reader.name}`",
    )


def _insert(tx: Transaction, change: Publish, payload: bytes, readers: Sequence[_Reader]) -> int:
    """Give it its number, and keep it if anybody reads it."""
    added = tx.connection.execute(
        "INSERT INTO publication(topic, payload, reply_to, created) VALUES(?, ?, ?, ?)",
        (change.topic, payload if readers else b"", change.reply_to, tx.now),
    )
    seq, size = added.lastrowid or 0, len(payload)
    if not readers:
        tx.connection.execute("DELETE FROM publication WHERE seq = ?", (seq,))
    tx.connection.executemany(
        "INSERT INTO delivery(subscriber, seq, size) VALUES(?, ?, ?)", [(reader.name, seq, size) for reader in readers]
    )
    tx.connection.executemany(
        "UPDATE subscription SET unread = unread + 1, unread_bytes = unread_bytes + ?, updated = ? WHERE name = ?",
        [(size, tx.now, reader.name) for reader in readers],
    )
    return seq


def _keep_key(tx: Transaction, key: str, seq: int, digest: bytes) -> None:
    """Remember a key, and forget a few whose time is over."""
    tx.connection.execute(
        "DELETE FROM publication_key WHERE key IN"
        " (SELECT key FROM publication_key WHERE used <= ? ORDER BY used LIMIT ?)",
        (tx.now - KEY_MS, SWEPT),
    )
    tx.connection.execute(
        "INSERT OR REPLACE INTO publication_key(key, seq, body_hash, created, used) VALUES(?, ?, ?, ?, ?)",
        (key, seq, digest, tx.now, tx.now),
    )


def subscribe(tx: Transaction, change: Subscribe) -> Subscription:
    """Make a subscription that begins now, or find the one that is there.

    Raises:
        BadRequest: That is no name or pattern. Conflict: The name stands for another pattern.
        TooBusy: There are too many.
    """
    _check_subscription(change)
    known = tx.connection.execute("SELECT pattern, until FROM subscription WHERE name = ?", (change.name,)).fetchone()
    if known is not None and known[1] is not None and known[1] <= tx.now:
        _drop(tx, change.name)
        known = None
    if known is None:
        _add(tx, change)
    elif known[0] != change.pattern:
        raise Conflict(
            f"the subscription {change.name!r} is for {known[0]!r}, not for {change.pattern!r}",
            hint=f"choose another name, or `autohands topic unsubscribe {change.name}` first",
        )
    else:
        tx.connection.execute(
            "UPDATE subscription SET until = max(until, ?) WHERE name = ?", (change.until, change.name)
        )
    return _get(tx.connection, change.name)


def _check_subscription(change: Subscribe) -> None:
    if not _NAME.fullmatch(change.name):
        raise BadRequest(
            f"{change.name[:200]!r} cannot be a subscription's name", hint="use at most 128 of A-Z a-z 0-9 . _ : -"
        )
    if len(change.pattern) > _LONGEST_TOPIC or not _PATTERN.fullmatch(change.pattern):
        raise BadRequest(
            f"{change.pattern[:200]!r} is no pattern",
            hint="write a topic; * is one word of it, ** at its end any number of words",
        )


def _add(tx: Transaction, change: Subscribe) -> None:
    if change.until is None:
        _check_count(tx)
    else:
        _sweep(tx)
    tx.connection.execute(
        "INSERT INTO subscription(name, pattern, wild, until, cursor, created, updated)"
        f" VALUES(?, ?, ?, ?, {_LAST}, ?, ?)",
        (change.name, change.pattern, int("*" in change.pattern), change.until, tx.now, tx.now),
    )


def _check_count(tx: Transaction) -> None:
    count: int = tx.connection.execute("SELECT count(*) FROM subscription WHERE until IS NULL").fetchone()[0]
    if count >= MOST_SUBSCRIPTIONS:
        raise TooBusy(
            f"there are {count:,} subscriptions, which is the most",
            retry_after_seconds=BUSY_SECONDS,
            hint="end those that nobody reads: autohands topic list, autohands topic unsubscribe NAME",
        )


def _sweep(tx: Transaction) -> None:
    """Drop a few subscriptions whose time is over."""
    over = tx.connection.execute(
        "SELECT name FROM subscription WHERE until <= ? ORDER BY until LIMIT ?", (tx.now, SWEPT)
    ).fetchall()
    for (name,) in over:
        _drop(tx, name)


def unsubscribe(tx: Transaction, change: Unsubscribe) -> None:
    """End a subscription.

    Raises:
        NotFound: There is none of that name.
    """
    _get(tx.connection, change.name)
    _drop(tx, change.name)
    tx.kinds.add("topics")


def _drop(tx: Transaction, name: str) -> None:
    seqs = tx.connection.execute("SELECT seq FROM delivery WHERE subscriber = ?", (name,)).fetchall()
    tx.connection.execute("DELETE FROM subscription WHERE name = ?", (name,))
    tx.connection.executemany(_DELETE_READ, seqs)


def consume(tx: Transaction, change: Consume) -> Subscription:
    """A subscriber has dealt with everything up to a number. What nobody has still to read is deleted.

    A backlog is bounded, and so is what this deletes. A number from the future counts as the last one there is.

    Raises:
        NotFound: There is no such subscription.
    """
    _get(tx.connection, change.name)
    read = tx.connection.execute(
        "DELETE FROM delivery WHERE subscriber = ? AND seq <= ? RETURNING seq, size", (change.name, change.seq)
    ).fetchall()
    tx.connection.execute(
        "UPDATE subscription SET unread = unread - ?, unread_bytes = unread_bytes - ?, updated = ?,"
        f" cursor = max(cursor, min(?, {_LAST})) WHERE name = ?",
        (len(read), sum(size for _, size in read), tx.now, change.seq, change.name),
    )
    tx.connection.executemany(_DELETE_READ, [(seq,) for seq, _ in read])
    failpoint("topics.consumed")
    return _get(tx.connection, change.name)


def _get(connection: sqlite3.Connection, name: str) -> Subscription:
    row = connection.execute(f"{_SUBSCRIPTION} WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NotFound(f"there is no subscription {name!r}", hint="see `autohands topic list`")
    return _subscription(row)


def _subscription(row: Sequence[Any]) -> Subscription:
    return Subscription(**dict(zip(Subscription.__struct_fields__, row, strict=True)))


def unread(connection: sqlite3.Connection, name: str, limit: int) -> list[Publication]:
    """The next publications for a subscriber: at most `limit`, and no more than a page in bytes."""
    _get(connection, name)
    page, size = list[Publication](), 0
    for seq, topic, payload, reply_to, created in connection.execute(_UNREAD, (name, limit)):
        size += len(payload)
        if page and size > PAGE_BYTES:
            break
        page.append(
            Publication(seq=seq, topic=topic, payload=_payload.decode(payload), reply_to=reply_to, created=created)
        )
    return page


class TopicRows:
    """Queries."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def unread(self, name: str, limit: int = 100) -> list[Publication]:
        """The next publications for a subscriber, in order. Raises `NotFound`."""
        return await self._readers.read(lambda connection: unread(connection, name, limit))

    async def subscriptions(self) -> list[Subscription]:
        """All lasting subscriptions, by name."""
        return await self._readers.read(lasting)


def lasting(connection: sqlite3.Connection) -> list[Subscription]:
    """Subscriptions that stand until somebody ends them, by name."""
    rows = connection.execute(f"{_SUBSCRIPTION} WHERE until IS NULL ORDER BY name")
    return [_subscription(row) for row in rows]
