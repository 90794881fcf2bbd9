"""Conversations: each has one owner of its history, which is this."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from autohands.protocols.storage import SessionRecord, Storage
from autohands.protocols.task import END_STATES
from autohands.runtime.history import History, fold

LIVE_SESSIONS = 256
ALL = 1_000_000


class Session:
    """A live conversation: its record, its messages, and what tools remember in it."""

    def __init__(self, record: SessionRecord) -> None:
        self.record = record
        self.history = History()
        self.data: dict[str, Any] = {}


class SessionManager:
    """Finds sessions, folding their history from what is recorded; keeps the ones used last."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._live: OrderedDict[str, Session] = OrderedDict()

    async def open(self, session: str, task: str, principal: str) -> Session:
        """The session with the history of all its ended tasks but `task`.

        Raises:
            NotFound: There is none, or it belongs to somebody else.
        """
        record = await self._storage.session(session, principal)
        live = self._live.pop(session, None) or Session(record)
        live.record = record
        if record.tasks > len(live.history.tasks) + 1 or (record.tasks > 1 and task in live.history.tasks):
            await self._catch_up(live, task)
        self._live[session] = live
        if len(self._live) > LIVE_SESSIONS:
            self._live.popitem(last=False)
        return live

    async def _catch_up(self, live: Session, task: str) -> None:
        """Add tasks that ended elsewhere since."""
        records = await self._storage.tasks(session=live.record.id, states=END_STATES, limit=ALL)
        for record in reversed(records):
            if record.id != task and record.id not in live.history.tasks:
                steps, words = await self._storage.steps(record.id), await self._storage.words(record.id)
                fold(live.history, steps, words, ended=True)
                live.history.tasks.add(record.id)

    def close(self, session: Session, task: str) -> None:
        """The task ended as it should: what it added to the history stays."""
        session.history.tasks.add(task)

    def forget(self, session: str) -> None:
        """The history in memory is not what is recorded: fold it anew next time. What tools remember stays."""
        if live := self._live.get(session):
            live.history = History()
