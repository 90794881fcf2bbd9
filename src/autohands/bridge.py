"""The one way in and the one way out: submit a task, follow its events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from autohands.protocols.changes import Cancel, Decide, Redo, Speak
from autohands.protocols.events import Event, Unknown
from autohands.protocols.records import ApprovalRecord
from autohands.protocols.storage import Journal, Storage
from autohands.protocols.task import Consent, Task, TaskRecord
from autohands.runloop.queue import TaskQueue, check_text

_EVENT: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class RunLoopBridge:
    """What the API, the CLI and `open()` use; nobody else creates work or answers for it."""

    def __init__(self, queue: TaskQueue, storage: Storage, journal: Journal) -> None:
        self._queue = queue
        self._storage = storage
        self._journal = journal

    async def submit(self, task: Task) -> TaskRecord:
        """Accept a task; it is durable when this returns. Raises `BadRequest`, `Conflict`."""
        return await self._queue.submit(task)

    def follow(self, task: str, after: int = 0) -> AsyncIterator[bytes]:
        """The task's events as JSON, from its beginning or from the one after `after`; ends after `run.finished`."""
        return self._journal.follow(task, after)

    async def cancel(self, task: str, by: str = "owner") -> TaskRecord:
        """Cancel a task, wherever it runs. Raises `NotFound`."""
        record: TaskRecord = (await self._storage.commit(Cancel(task=task, by=by)))[0]
        return record

    async def decide(
        self, approval: str, *, allow: bool, for_session: bool = False, by: str = "owner"
    ) -> ApprovalRecord:
        """Answer an approval, with `for_session` for such calls in its session. Raises `NotFound`, `Conflict`."""
        decision = Decide(approval=approval, decision="allow" if allow else "deny", by=by, for_session=for_session)
        record: ApprovalRecord = (await self._storage.commit(decision))[0]
        return record

    async def resume(self, task: str, queue: str, consent: Consent | None = None) -> TaskRecord:
        """Move a task that is not done to `queue` and make it ready. Raises `NotFound`, `Conflict`."""
        record: TaskRecord = (await self._storage.commit(Redo(task=task, queue=queue, consent=consent)))[0]
        return record

    async def speak(self, session: str, text: str) -> str | None:
        """Say words to a session (name or id) whose run is under way. The task that will read them, None without one.

        Raises:
            BadRequest: They are empty, too long or no valid Unicode. NotFound: There is no such session.
        """
        check_text(text, "the words are")
        record = await self._storage.session(session)
        task: str | None = (await self._storage.commit(Speak(session=record.id, text=text)))[0]
        return task


def decode_event(data: bytes) -> Event | Unknown:
    """An event from its JSON; one of a newer program comes as `Unknown`.

    Raises:
        msgspec.DecodeError: It is no event at all.
    """
    try:
        return _EVENT.decode(data)
    except msgspec.ValidationError:
        raw: dict[str, Any] = msgspec.json.decode(data)
        return Unknown(str(raw.get("type")), raw)
