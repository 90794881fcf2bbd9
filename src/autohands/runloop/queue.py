"""The door to waiting tasks. It keeps no rows: those are storage's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from autohands.protocols.errors import BadRequest
from autohands.protocols.storage import Enqueue, Storage
from autohands.protocols.task import PRIORITIES, Task, TaskRecord

Submit: TypeAlias = Callable[[Task], Awaitable[TaskRecord]]
Middleware: TypeAlias = Callable[[Task, Submit], Awaitable[TaskRecord]]

MAX_PROMPT_CHARACTERS = 10_000_000


class TaskQueue:
    """Submits tasks through its middleware; the first of these is the outermost."""

    def __init__(self, storage: Storage, middleware: Sequence[Middleware] = ()) -> None:
        self._storage = storage
        self._submit: Submit = self._enqueue
        for each in reversed(middleware):
            self._submit = _wrap(each, self._submit)

    async def submit(self, task: Task) -> TaskRecord:
        """Accept a task; it is durable when this returns.

        Raises:
            BadRequest: It does not make sense.
            Conflict: Its idempotency key was used with another body.
        """
        return await self._submit(checked(task))

    async def _enqueue(self, task: Task) -> TaskRecord:
        record: TaskRecord = (await self._storage.commit(Enqueue(task=task)))[0]
        return record


def checked(task: Task) -> Task:
    """The task, if it makes sense.

    Raises:
        BadRequest: What is wrong with it.
    """
    check_text(task.prompt, "the prompt is", may_be_empty=task.payload is not None)
    if isinstance(task.priority, str) and task.priority not in PRIORITIES:
        raise BadRequest(f"priority {task.priority!r} is none of {', '.join(PRIORITIES)}")
    if isinstance(task.priority, int) and not -60 <= task.priority <= 60:
        raise BadRequest(f"priority {task.priority} is not between -60 and 60")
    return task


def check_text(text: str, what: str, *, may_be_empty: bool = False) -> None:
    """Raise `BadRequest`, beginning with `what`, if a model cannot be told this."""
    if not may_be_empty and not text.strip():
        raise BadRequest(f"{what} empty", hint="say what is to be done")
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise BadRequest(f"{what} longer than {MAX_PROMPT_CHARACTERS:,} characters", hint="put it into a file")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{what} not valid Unicode text") from None


def _wrap(middleware: Middleware, submit: Submit) -> Submit:
    async def wrapped(task: Task) -> TaskRecord:
        return await middleware(task, submit)

    return wrapped
