"""What every `Storage` must do with topics: subclass the class and give it a fixture `durable`, a fresh one each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.topics import Consume, Publication, Publish, Subscribe, Subscription, Unsubscribe
from autohands.sdk.identity import now_ms
from autohands.testing.contracts.durable import PATIENCE_SECONDS, Durable

LARGEST_BYTES = 1 << 20


async def subscribe(durable: Durable, name: str, pattern: str, until: int | None = None) -> Subscription:
    """Make a subscription."""
    record: Subscription = (await durable.storage.commit(Subscribe(name=name, pattern=pattern, until=until)))[0]
    return record


async def publish(durable: Durable, topic: str, **fields: Any) -> Publication:
    """Publish something."""
    change = Publish(topic=topic, **{"payload": {}, **fields})
    publication: Publication = (await durable.storage.commit(change))[0]
    return publication


async def unread(durable: Durable, name: str) -> list[str]:
    """The topics of what a subscriber has still to read."""
    return [each.topic for each in await durable.storage.topics.unread(name)]


class TopicsContract:
    """`Topics`: who gets what, in which order, how often, and what is refused."""

    async def test_each_subscriber_reads_what_it_asked_for_at_its_own_pace(self, durable: Durable) -> None:
        for name, pattern in (("one", "build.*"), ("all", "**"), ("deep", "build.**"), ("exact", "build.failed")):
            await subscribe(durable, name, pattern)
        published = [await publish(durable, topic) for topic in ("build.failed", "build", "build.failed.late", "mail")]
        assert [each.seq for each in published] == sorted({each.seq for each in published})
        assert await unread(durable, "one") == await unread(durable, "exact") == ["build.failed"]
        assert await unread(durable, "all") == ["build.failed", "build", "build.failed.late", "mail"]
        await durable.storage.commit(Consume(name="deep", seq=published[1].seq))
        assert await unread(durable, "deep") == ["build.failed.late"]
        assert len(await unread(durable, "all")) == 4
        assert (await durable.storage.topics.unread("all", 1)) == published[:1]

    async def test_a_payload_comes_back_whole(self, durable: Durable) -> None:
        await subscribe(durable, "s", "a")
        payload: dict[str, Any] = {
            "text": "größe ✓\0",
            "numbers": [1, -2.5, 2**62],
            "none": None,
            "deep": {"": [{}]},
            "yes": True,
        }
        published = await publish(durable, "a", payload=payload, reply_to="_reply.x")
        assert await durable.storage.topics.unread("s") == [published]
        assert (published.payload, published.reply_to) == (payload, "_reply.x")

    async def test_a_subscription_begins_now_and_goes_on_where_it_was(self, durable: Durable) -> None:
        await subscribe(durable, "early", "a")
        before = await publish(durable, "a")
        assert (await subscribe(durable, "late", "a")).cursor == before.seq
        assert await unread(durable, "late") == []
        again = await subscribe(durable, "early", "a")
        assert (again.unread, again.cursor < before.seq) == (1, True)
        with pytest.raises(Conflict):
            await subscribe(durable, "early", "b")
        assert await unread(durable, "early") == ["a"]

    async def test_what_was_dealt_with_does_not_come_again(self, durable: Durable) -> None:
        await subscribe(durable, "s", "*")
        first, second = await publish(durable, "a"), await publish(durable, "b")
        for seq in (second.seq, first.seq):
            consumed: Subscription = (await durable.storage.commit(Consume(name="s", seq=seq)))[0]
            assert (consumed.cursor, consumed.unread, consumed.unread_bytes) == (second.seq, 0, 0)
        await publish(durable, "c")
        assert await unread(durable, "s") == ["c"]
        ahead: Subscription = (await durable.storage.commit(Consume(name="s", seq=1 << 40)))[0]
        assert ahead.cursor == second.seq + 1
        later = await publish(durable, "d")
        assert await durable.storage.topics.unread("s") == [later]

    async def test_what_nobody_reads_has_its_number_and_wakes_who_listens(self, durable: Durable) -> None:
        with durable.storage.listen("topics") as bell:
            first = await publish(durable, "a")
            async with asyncio.timeout(PATIENCE_SECONDS):
                await bell.wait()
        await subscribe(durable, "s", "**")
        second = await publish(durable, "a")
        assert second.seq > first.seq
        assert await durable.storage.topics.unread("s") == [second]

    async def test_a_key_publishes_once(self, durable: Durable) -> None:
        await subscribe(durable, "s", "a")
        first = await publish(durable, "a", payload={"n": 1}, key="k")
        assert await publish(durable, "a", payload={"n": 1}, key="k") == first
        await durable.storage.commit(Consume(name="s", seq=first.seq))
        assert await publish(durable, "a", payload={"n": 1}, key="k") == first
        assert await unread(durable, "s") == []
        for change in ({"payload": {"n": 2}}, {"payload": {"n": 1}, "reply_to": "_reply.x"}):
            with pytest.raises(Conflict):
                await publish(durable, "a", key="k", **change)
        assert (await publish(durable, "a", payload={"n": 1}, key="other")).seq > first.seq

    async def test_a_private_topic_is_for_those_who_know_it(self, durable: Durable) -> None:
        for name, pattern in (("all", "**"), ("any", "*.x"), ("knows", "_reply.*")):
            await subscribe(durable, name, pattern)
        await publish(durable, "_reply.x")
        assert [await unread(durable, name) for name in ("all", "any", "knows")] == [[], [], ["_reply.x"]]

    async def test_an_ended_subscription_is_gone(self, durable: Durable) -> None:
        await subscribe(durable, "s", "a")
        await publish(durable, "a")
        await durable.storage.commit(Unsubscribe(name="s"))
        for change in (Unsubscribe(name="s"), Consume(name="s", seq=1)):
            with pytest.raises(NotFound):
                await durable.storage.commit(change)
        with pytest.raises(NotFound):
            await durable.storage.topics.unread("s")
        assert await durable.storage.topics.subscriptions() == []
        await subscribe(durable, "s", "a")
        assert await unread(durable, "s") == []

    async def test_a_subscription_with_an_end_is_in_no_list(self, durable: Durable) -> None:
        await subscribe(durable, "lasting", "a")
        await subscribe(durable, "passing", "a", now_ms() + 60_000)
        await publish(durable, "a")
        assert await unread(durable, "passing") == ["a"]
        assert [each.name for each in await durable.storage.topics.subscriptions()] == ["lasting"]
        await subscribe(durable, "over", "a", now_ms() - 1)
        await publish(durable, "a")
        assert (await subscribe(durable, "over", "a", now_ms() + 60_000)).unread == 0

    @pytest.mark.parametrize("topic", ["", ".", "a.", ".a", "a..b", "a b", "a.*", "**", "größe", "a\n", "x" * 256])
    async def test_what_is_no_topic_is_refused(self, durable: Durable, topic: str) -> None:
        with pytest.raises(BadRequest):
            await publish(durable, topic)
        with pytest.raises(BadRequest):
            await publish(durable, "a", reply_to=topic)

    @pytest.mark.parametrize("pattern", ["", "a.", "**.a", "a.**.b", "a*", "***", "?", "a\n", "x" * 256])
    async def test_what_is_no_pattern_is_refused(self, durable: Durable, pattern: str) -> None:
        with pytest.raises(BadRequest):
            await subscribe(durable, "s", pattern)

    @pytest.mark.parametrize("name", ["", "a b", "x" * 129, "a\n", "größe"])
    async def test_what_is_no_name_is_refused(self, durable: Durable, name: str) -> None:
        with pytest.raises(BadRequest):
            await subscribe(durable, name, "a")
        assert await durable.storage.topics.subscriptions() == []

    @pytest.mark.parametrize(
        "payload",
        [{"x": object()}, {"x": "\ud800"}, [], None, {"x": "x" * LARGEST_BYTES}, "text"],
        ids=["object", "surrogate", "list", "none", "large", "text"],
    )
    async def test_what_is_no_payload_is_refused_and_leaves_nothing(self, durable: Durable, payload: Any) -> None:
        await subscribe(durable, "s", "**")
        with pytest.raises(BadRequest):
            await publish(durable, "a", payload=payload)
        assert await unread(durable, "s") == []

    async def test_a_payload_too_deep_to_be_read_is_refused(self, durable: Durable) -> None:
        await subscribe(durable, "s", "a")
        for levels, fits in ((90, True), (110, False), (100_000, False)):
            payload: dict[str, Any] = {}
            for _ in range(levels):
                payload = {"x": payload}
            if fits:
                await publish(durable, "a", payload=payload)
            else:
                with pytest.raises(BadRequest):
                    await publish(durable, "a", payload=payload)
        assert len(await unread(durable, "s")) == 1

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\0b", "\ud800"])
    async def test_what_is_no_key_is_refused(self, durable: Durable, key: str) -> None:
        with pytest.raises(BadRequest):
            await publish(durable, "a", key=key)

    @pytest.mark.parametrize("pattern", ["t.a", "t.*"])
    @pytest.mark.parametrize(("left_ms", "read"), [(-1, []), (60_000, ["t.a"])])
    async def test_one_whose_time_is_over_gets_nothing_and_holds_nobody_up(
        self, durable: Durable, pattern: str, left_ms: int, read: list[str]
    ) -> None:
        await subscribe(durable, "s", pattern, now_ms() + left_ms)
        await publish(durable, "t.a")
        assert await unread(durable, "s") == read
