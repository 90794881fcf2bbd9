"""What every `Storage` must do with forks and replays: subclass the class and give it a fixture `durable`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from autohands.protocols.changes import Finish, FixSystem, ForgetSession, Fork, ReadWords, RecordStep, Speak
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.messages import user
from autohands.protocols.records import Step
from autohands.protocols.storage import Lease
from autohands.protocols.task import TaskRecord
from autohands.testing.contracts.decisions import asked, effect
from autohands.testing.contracts.durable import DONE, Durable, finish, model_step, serve, submit

OPENING = Step(
    turn=0, index=0, kind="opening", name="opening", status="done", output=msgspec.json.encode((user("hi"),))
)
UNKNOWN = b'{"text":"outcome_unknown","failed":true}'


class ForksContract:
    """`Fork`: a task of its own, in a session of its own, on what was recorded."""

    async def told(self, durable: Durable, *, ended: bool = True) -> TaskRecord:
        """A task with two whole turns (an unknown effect in the first) and, if it has `ended`, a final one."""
        record = await submit(durable, "hi", session="s", model="a/b", idempotency_key="k", reply_address="c:t")

        async def handler(lease: Lease) -> None:
            await lease.commit(FixSystem(session=record.session, system="You are it."))
            lease.note(OPENING)
            lease.note(asked(1))
            await lease.commit(RecordStep(step=effect("started")))
            await lease.commit(RecordStep(step=effect("unknown", output=UNKNOWN)))
            lease.note(effect("done", 2, b'{"text":"two"}'))
            await durable.storage.commit(Speak(session=record.session, text="mind the gap"))
            words = await durable.storage.words(record.id)
            await lease.commit(ReadWords(ids=(words[0].id,), turn=2))
            if ended:
                lease.note(model_step(2))
                await lease.commit(DONE)
            else:
                lease.note(asked(2))
                await lease.commit(Finish(state="failed", reason="failed"))

        await serve(durable, record.id, handler)
        return await durable.storage.task(record.id)

    async def fork(self, durable: Durable, record: TaskRecord, **fields: Any) -> TaskRecord:
        """Fork it."""
        forked: TaskRecord = (await durable.storage.commit(Fork(task=record.id, **fields)))[0]
        return forked

    async def test_a_fork_goes_on_from_whole_turns_in_a_session_of_its_own(self, durable: Durable) -> None:
        record = await self.told(durable)
        forked = await self.fork(durable, record, turn=2, model="c/d")
        assert (forked.state, forked.forked_from, forked.forked_turn) == ("ready", record.id, 2)
        assert (forked.task.model, forked.task.prompt, forked.task.idempotency_key) == ("c/d", "hi", None)
        assert (forked.task.reply_address, forked.attempt, forked.root) == (None, 0, forked.id)
        steps = await durable.storage.steps(forked.id)
        assert [(step.turn, step.index, step.status) for step in steps] == [
            (0, 0, "done"),
            (1, 0, "done"),
            (1, 1, "failed"),
            (1, 2, "done"),
        ]
        old = {(step.turn, step.index): step.output for step in await durable.storage.steps(record.id)}
        assert [step.output for step in steps] == [old[step.turn, step.index] for step in steps]
        assert all(step.usage is None for step in steps)
        session = await durable.storage.session(forked.session)
        assert (session.system, session.forked_from, session.forked_before) == (
            "You are it.",
            record.session,
            record.seq,
        )
        assert await durable.storage.spent(forked.id) == 0
        assert [step.status for step in await durable.storage.steps(record.id)].count("unknown") == 1

    async def test_words_stay_with_their_turns_and_new_ones_come_behind(self, durable: Durable) -> None:
        record = await self.told(durable)
        forked = await self.fork(durable, record, prompt="and in French")
        words = await durable.storage.words(forked.id)
        assert [(word.text, word.turn) for word in words] == [("mind the gap", 2), ("and in French", None)]
        assert (forked.forked_turn, forked.task.prompt, forked.turns) == (3, "and in French", 2)
        anew = await self.fork(durable, record, turn=1, prompt="something else")
        assert await durable.storage.words(anew.id) == []
        assert await durable.storage.steps(anew.id) == []

    async def test_an_open_turn_is_not_copied(self, durable: Durable) -> None:
        record = await self.told(durable, ended=False)
        forked = await self.fork(durable, record)
        assert (forked.forked_turn, forked.turns) == (2, 1)
        with pytest.raises(BadRequest) as refused:
            await self.fork(durable, record, turn=3)
        assert "from 1 to 2" in (refused.value.hint or "")
        with pytest.raises(BadRequest):
            await self.fork(durable, record, turn=0)
        with pytest.raises(NotFound):
            await durable.storage.commit(Fork(task="task_none"))

    async def test_a_replay_begins_at_the_beginning(self, durable: Durable) -> None:
        record = await self.told(durable)
        replay = await self.fork(durable, record, replay=True)
        assert (replay.task.replays, replay.forked_from, replay.turns) == (record.id, record.id, 0)
        assert [step.kind for step in await durable.storage.steps(replay.id)] == ["opening"]

    async def test_a_session_that_others_go_on_from_is_not_forgotten(self, durable: Durable) -> None:
        record = await self.told(durable)
        forked = await self.fork(durable, record)
        with pytest.raises(Conflict, match=forked.session):
            await durable.storage.commit(ForgetSession(session=record.session))
        await serve(durable, forked.id, finish)
        await durable.storage.commit(ForgetSession(session=forked.session))
        await durable.storage.commit(ForgetSession(session=record.session))

    async def test_forks_of_forks_have_an_end(self, durable: Durable) -> None:
        record = await submit(durable)
        for _ in range(100):
            record = await self.fork(durable, record)
        with pytest.raises(BadRequest, match="100 forks"):
            await self.fork(durable, record)
