"""What the outbox of every `Storage` must do: subclass the class and give it a fixture `durable`, as for the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autohands.protocols.changes import Cancel, Finish
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.messages import BlobRef
from autohands.protocols.outbox import (
    DecideMessage,
    MessageRecord,
    Send,
    SettleMessage,
    StrandMessages,
    TakeMessages,
)
from autohands.protocols.storage import Lease
from autohands.sdk.identity import now_ms
from autohands.testing.contracts.durable import PATIENCE_SECONDS, Durable, serve, submit


class OutboxContract:
    """`Send`, `TakeMessages`, `SettleMessage`, `DecideMessage`, `StrandMessages`, replies, and the queries."""

    async def test_a_message_is_a_row_before_it_is_sent(self, durable: Durable) -> None:
        image = BlobRef("0" * 64, "image/png", 3)
        message = await line_up(durable, "news ✓", images=(image,))
        assert (message.state, message.text, message.images, message.attempt) == ("pending", "news ✓", (image,), 0)
        assert await durable.storage.outbox.get(message.id) == message
        assert await durable.storage.outbox.get(message.id[:-2]) == message
        assert (await durable.storage.outbox.due())["c"] == message.send_at <= now_ms()

    async def test_a_key_is_accepted_once_for_each_address(self, durable: Durable) -> None:
        first = await line_up(durable, "one", key="k")
        assert await line_up(durable, "two", key="k") == first
        assert (await line_up(durable, "two", key="k", address="c:other")).id != first.id
        assert (await line_up(durable, "one")).key != (await line_up(durable, "one")).key

    @pytest.mark.parametrize("address", ["", "telegram", ":thread", "telegram:", "c:" + "x" * 1000])
    async def test_what_is_no_address_is_refused(self, durable: Durable, address: str) -> None:
        with pytest.raises(BadRequest):
            await line_up(durable, "x", address=address)

    async def test_what_says_nothing_and_an_unknown_task_are_refused(self, durable: Durable) -> None:
        for text in (" \n", "\ud800"):
            with pytest.raises(BadRequest):
                await line_up(durable, text)
        with pytest.raises(NotFound):
            await line_up(durable, "x", task="task_nobody")
        with pytest.raises(NotFound):
            await durable.storage.outbox.get("msg_nobody")
        assert await durable.storage.outbox.all() == []

    async def test_each_thread_has_its_order_and_threads_go_side_by_side(self, durable: Durable) -> None:
        for number in range(3):
            await line_up(durable, f"a{number}", address="c:a")
        await line_up(durable, "b0", address="c:b")
        await line_up(durable, "x0", address="other:a")
        first, second = await take(durable)
        assert [first.text, second.text] == ["a0", "b0"]
        assert (first.state, first.attempt, first.doubtful) == ("sending", 1, False)
        assert await take(durable) == []
        await settle(durable, first, "sent", receipt="r")
        (third,) = await take(durable)
        assert third.text == "a1"
        assert (await durable.storage.outbox.get(first.id)).receipt == "r"

    async def test_no_more_than_asked_for_are_taken(self, durable: Durable) -> None:
        for number in range(4):
            await line_up(durable, "x", address=f"c:{number}")
        assert len(await take(durable, most=3)) == 3

    async def test_what_is_put_back_is_due_later_and_its_thread_waits_for_it(self, durable: Durable) -> None:
        await line_up(durable, "first")
        await line_up(durable, "second")
        (message,) = await take(durable)
        later = now_ms() + 60_000
        back = await settle(durable, message, "pending", error="busy", send_at=later, doubtful=True, labelled=True)
        assert (back.error, back.send_at, back.doubtful, back.labelled) == ("busy", later, True, True)
        assert await take(durable) == []
        assert await durable.storage.outbox.due() == {"c": later}

    @pytest.mark.parametrize("state", ["held", "dead", "sent"])
    async def test_what_is_over_does_not_hold_its_thread_up(self, durable: Durable, state: Any) -> None:
        await line_up(durable, "first")
        await line_up(durable, "second")
        (first,) = await take(durable)
        await settle(durable, first, state)
        assert [each.text for each in await take(durable)] == ["second"]
        assert (await durable.storage.outbox.all(states=(state,)))[0].id == first.id

    async def test_what_was_not_settled_in_time_comes_back_in_doubt(self, durable: Durable) -> None:
        await line_up(durable, "x")
        (message,) = await take(durable, seconds=0.0)
        assert await take(durable, holding=(message.id,)) == []
        (again,) = await take(durable)
        assert (again.id, again.doubtful, again.attempt) == (message.id, True, 2)
        with pytest.raises(Conflict):
            await settle(durable, message, "sent")
        await settle(durable, again, "sent")
        with pytest.raises(Conflict):
            await settle(durable, again, "sent")

    async def test_what_is_sent_by_a_living_program_is_left_to_it(self, durable: Durable) -> None:
        await line_up(durable, "x")
        (message,) = await take(durable)
        assert await take(durable) == []
        assert (await durable.storage.outbox.due())["c"] == message.send_at > now_ms()

    async def test_a_person_sends_what_is_held_or_dead(self, durable: Durable) -> None:
        for state in ("held", "dead"):
            message = await line_up(durable, "x")
            (taken,) = await take(durable)
            await settle(durable, taken, state, error="why", doubtful=True, labelled=True)
            decided = await decide(durable, message, send=True)
            assert (decided.state, decided.attempt, decided.doubtful, decided.labelled) == ("pending", 0, False, False)
            (again,) = await take(durable)
            with pytest.raises(Conflict):
                await decide(durable, message, send=True)
            await settle(durable, again, "sent")
            with pytest.raises(Conflict):
                await decide(durable, message, send=False)

    async def test_a_person_drops_what_waits_and_its_thread_goes_on(self, durable: Durable) -> None:
        first, second = await line_up(durable, "first"), await line_up(durable, "second")
        for _ in range(2):
            dropped = await decide(durable, first, send=False)
            assert (dropped.state, dropped.error) == ("dead", "dropped")
        assert [each.id for each in await take(durable)] == [second.id]
        with pytest.raises(NotFound):
            await durable.storage.commit(DecideMessage(message="msg_nobody", send=True))

    async def test_a_person_hurries_what_waits(self, durable: Durable) -> None:
        message = await line_up(durable, "x")
        (taken,) = await take(durable)
        await settle(durable, taken, "pending", send_at=now_ms() + 60_000)
        await decide(durable, message, send=True)
        assert len(await take(durable)) == 1

    async def test_messages_without_a_channel_say_why_they_wait(self, durable: Durable) -> None:
        for thread in ("a", "a", "b"):
            await line_up(durable, "x", address=f"gone:{thread}")
        assert await strand(durable, "gone") == [2]
        assert await strand(durable, "gone") == [0]
        last, *_, first = await durable.storage.outbox.all()
        assert (first.state, first.error, last.error) == ("pending", "nobody is there", "nobody is there")
        assert len(await take(durable, channel="gone")) == 2

    async def test_they_are_listed_newest_first(self, durable: Durable) -> None:
        messages = [await line_up(durable, str(number), address=f"c:{number}") for number in range(4)]
        (taken,) = await take(durable, most=1)
        await settle(durable, taken, "held")
        listed = await durable.storage.outbox.all()
        assert [each.id for each in listed] == [each.id for each in reversed(messages)]
        pending = await durable.storage.outbox.all(states=("pending", "held"), limit=2)
        assert [each.id for each in pending] == [messages[3].id, messages[2].id]

    async def test_who_listens_hears_of_a_message_and_of_what_became_of_it(self, durable: Durable) -> None:
        with durable.storage.listen("outbox") as bell:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await line_up(durable, "x")
                await bell.wait()
                (message,) = await take(durable)
                await settle(durable, message, "held")
                await bell.wait()
                await decide(durable, message, send=True)
                await bell.wait()

    # --- replies -------------------------------------------------------------------------------------------------

    async def test_a_task_that_ends_answers_once_where_it_was_asked(self, durable: Durable) -> None:
        message = await answered(durable, Finish(state="done", reason="done", text="42"))
        assert message is not None
        assert (message.text, message.state, message.address) == ("42", "pending", "c:thread")
        assert message.key == f"reply:{message.task}"

    @pytest.mark.parametrize(
        ("finish", "words"),
        [
            (Finish(state="done", reason="done"), "Done"),
            (Finish(state="failed", reason="failed", text="half", error="secret detail"), "failed"),
            (Finish(state="failed", reason="turn_limit"), "limit of turns"),
            (Finish(state="failed", reason="time_limit"), "time is over"),
            (Finish(state="failed", reason="budget"), "budget"),
            (Finish(state="failed", reason="denied"), "not allowed"),
            (Finish(state="dead", reason="attempts"), "interrupted"),
            (Finish(state="cancelled", reason="cancelled", error="cancelled by token:x"), "cancelled"),
        ],
    )
    async def test_an_end_without_an_answer_says_so(self, durable: Durable, finish: Finish, words: str) -> None:
        message = await answered(durable, finish)
        assert message is not None
        assert words in message.text
        assert "secret" not in message.text
        assert finish.state == "done" or str(message.task) in message.text

    async def test_the_owner_who_cancels_is_told_nothing(self, durable: Durable) -> None:
        record = await submit(durable, reply_address="c:thread")
        await durable.storage.commit(Cancel(task=record.id, by="owner"))
        assert await durable.storage.outbox.all() == []
        assert await answered(durable, Finish(state="cancelled", reason="cancelled")) is None

    async def test_a_task_without_a_reply_address_says_nothing(self, durable: Durable) -> None:
        assert await answered(durable, Finish(state="done", reason="done", text="42"), reply_address=None) is None

    async def test_an_answer_that_goes_nowhere_is_dead_and_says_why(self, durable: Durable) -> None:
        message = await answered(durable, Finish(state="done", reason="done", text="42"), reply_address="nowhere")
        assert message is not None
        assert (message.state, message.text) == ("dead", "42")
        assert "no address" in message.error


async def line_up(durable: Durable, text: str, *, address: str = "c:thread", **fields: Any) -> MessageRecord:
    """Line a message up."""
    message: MessageRecord = (await durable.storage.commit(Send(address=address, text=text, **fields)))[0]
    return message


async def take(durable: Durable, *, channel: str = "c", most: int = 100, **fields: Any) -> list[MessageRecord]:
    """Take up what is due."""
    taken: list[MessageRecord] = (await durable.storage.commit(TakeMessages(channel=channel, most=most, **fields)))[0]
    return taken


async def settle(durable: Durable, message: MessageRecord, state: Any, **fields: Any) -> MessageRecord:
    """Write down what became of a message that was taken up."""
    change = SettleMessage(message=message.id, attempt=message.attempt, state=state, **fields)
    settled: MessageRecord = (await durable.storage.commit(change))[0]
    return settled


async def decide(durable: Durable, message: MessageRecord, *, send: bool) -> MessageRecord:
    """Decide as a person does."""
    decided: MessageRecord = (await durable.storage.commit(DecideMessage(message=message.id, send=send)))[0]
    return decided


async def strand(durable: Durable, channel: str) -> list[Any]:
    """Say why the messages of a channel wait."""
    return await durable.storage.commit(StrandMessages(channel=channel, reason="nobody is there"))


async def answered(durable: Durable, finish: Finish, **fields: Any) -> MessageRecord | None:
    """End a task; the one message that came of it."""
    record = await submit(durable, **{"reply_address": "c:thread", **fields})

    async def handler(lease: Lease) -> None:
        await lease.commit(finish)

    await serve(durable, record.id, handler)
    messages = await durable.storage.outbox.all()
    assert len(messages) <= 1
    return messages[0] if messages else None
