"""Conversations: each has one owner of its history, which is this."""

from __future__ import annotations

import logging
from collections import OrderedDict
from operator import attrgetter
from typing import Any

from autohands.protocols.errors import NotFound
from autohands.protocols.records import SessionRecord
from autohands.protocols.storage import Storage
from autohands.protocols.task import END_STATES, TaskRecord
from autohands.runtime.history import History, fold

logger = logging.getLogger(__name__)

LIVE_SESSIONS = 256
MOST_FORKS = 100
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
        """The task's session, with the history of all its ended tasks but this one; a fork's begins with its origin's.

        Raises:
            NotFound: There is none, or it belongs to somebody else.
        """
        record = await self._storage.session(task.session, task.task.principal)
        live = self._live.pop(task.session, None) or Session(record, History(), {})
        history, live.history = live.history, History()
        self._live[task.session] = live
        if len(self._live) > LIVE_SESSIONS:
            self._live.popitem(last=False)
        others = sum(history.tasks.values()) + task.attempt != record.attempts
        if others or history.origin != record.forked_from:  # they had a part in it, which is not in memory
            history = await self._fold(record, task)
        return Session(record, history, live.data)

    async def _fold(self, session: SessionRecord, task: TaskRecord) -> History:
        """The history as it is recorded: of the sessions that this one goes on from, the first one first; then its
        own."""
        history, origins, before = History(), list[tuple[str, int | None]](), session
        while before.forked_from is not None and len(origins) <= MOST_FORKS:
            origins.append((before.forked_from, before.forked_before))
            try:
                before = await self._storage.session(before.forked_from, task.task.principal)
            except NotFound:
                logger.warning("session %s goes on from %s, which is gone", before.id, before.forked_from)
                break
        for origin, until in reversed(origins):
            await self._add(history, await self._ended(origin, until))
        own = [record for record in await self._ended(session.id) if record.id != task.id]
        await self._add(history, own)
        history.tasks = {record.id: record.attempt for record in own}
        history.origin = session.forked_from
        return history

    async def _ended(self, session: str, until: int | None = None) -> list[TaskRecord]:
        """A session's ended tasks (those accepted before number `until`), in the order in which they ended."""
        records = await self._storage.tasks(session=session, states=END_STATES, limit=ALL)
        return sorted((each for each in records if until is None or each.seq < until), key=attrgetter("ended", "seq"))

    async def _add(self, history: History, records: list[TaskRecord]) -> None:
        for record in records:
            steps, words = await self._storage.steps(record.id), await self._storage.words(record.id)
            fold(history, steps, words, ended=True)

    def close(self, session: Session, task: TaskRecord) -> None:
        """The task ended as it should: what it added to the history stays."""
        session.history.tasks[task.id] = task.attempt
        if live := self._live.get(task.session):
            live.history = session.history
