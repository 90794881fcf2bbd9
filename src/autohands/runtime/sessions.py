"""Conversations: each has one owner of its history, which is this."""

from __future__ import annotations

from collections import OrderedDict
from operator import attrgetter
from typing import Any

from autohands.protocols.storage import SessionRecord, Storage
from autohands.protocols.task import END_STATES, TaskRecord
from autohands.runtime.history import History, fold

LIVE_SESSIONS = 256
ALL = 1_000_000


class Session:
    """A conversation in the hands of one activation: its record, its messages, and what tools remember in it."""

    def __init__(self, record: SessionRecord, history: History, data: dict[str, Any]) -> None:
        self.record = record
        self.history = history
        self.data = data


class SessionManager:
    """Finds sessions, folding their history from what is recorded; keeps the ones used last.

    A history that is lent out is not kept: it comes back only from a run that ended as it should.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._live: OrderedDict[str, Session] = OrderedDict()

    async def open(self, task: TaskRecord) -> Session:
        """The task's session, with the history of all its ended tasks but this one.

        Raises:
            NotFound: There is none, or it belongs to somebody else.
        """
        record = await self._storage.session(task.session, task.task.principal)
        live = self._live.pop(task.session, None) or Session(record, History(), {})
        history, live.history = live.history, History()
        self._live[task.session] = live
        if len(self._live) > LIVE_SESSIONS:
            self._live.popitem(last=False)
        if sum(history.tasks.values()) + task.attempt != record.attempts:  # others had a part in it
            history = await self._fold(task)
        return Session(record, history, live.data)

    async def _fold(self, task: TaskRecord) -> History:
        """The history as it is recorded, in the order in which its tasks ended."""
        history = History()
        records = await self._storage.tasks(session=task.session, states=END_STATES, limit=ALL)
        for record in sorted(records, key=attrgetter("ended", "seq")):
            if record.id != task.id:
                steps, words = await self._storage.steps(record.id), await self._storage.words(record.id)
                fold(history, steps, words, ended=True)
                history.tasks[record.id] = record.attempt
        return history

    def close(self, session: Session, task: TaskRecord) -> None:
        """The task ended as it should: what it added to the history stays."""
        session.history.tasks[task.id] = task.attempt
        if live := self._live.get(task.session):
            live.history = session.history
