"""The door to waiting tasks and to topics. It keeps no rows: those are storage's."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from autohands.protocols.changes import Enqueue
from autohands.protocols.errors import BadRequest, Conflict, NotFound, RetryableError
from autohands.protocols.loop import Middleware
from autohands.protocols.storage import Storage
from autohands.protocols.task import PRIORITIES, Task, TaskRecord
from autohands.protocols.topics import Consume, Publication, Publish, Subscribe, Unsubscribe
from autohands.runloop.passage import through
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id, now_ms

MAX_PROMPT_CHARACTERS = 10_000_000
PAGE: Final = 100
LONGEST_REQUEST_SECONDS: Final = 86_400.0
_ANSWER_MS: Final = 7 * 86_400_000
_GRACE_MS: Final = 60_000


def _none() -> Sequence[Middleware]:
    return ()


class TaskQueue:
    """Submits tasks and publishes through its middleware, which is asked for at each pass: it may come and go.

    `depth`, `children` and `descendants` bound how deep tasks may start further ones, how many one may start, and how
    many a root with all beneath it. A task that names no workspace works in its session's, else in `workspace`.
    """

    def __init__(
        self,
        storage: Storage,
        middleware: Callable[[], Sequence[Middleware]] = _none,
        *,
        depth: int = 8,
        children: int = 1000,
        descendants: int = 10_000,
        workspace: str | None = None,
    ) -> None:
        self._storage = storage
        self._middleware = middleware
        self._workspace = workspace
        self._depth = depth
        self._children = children
        self._descendants = descendants

    async def submit(self, task: Task) -> TaskRecord:
        """Accept a task; it is durable when this returns.

        Raises:
            BadRequest: It does not make sense. NotFound: Its session or parent is not there.
            Conflict: Its idempotency key was used with another body. TooBusy: Its queue is full, come back later.
        """
        return await through(self._middleware(), lambda each: each.submit, self._enqueue)(checked(task))

    async def _enqueue(self, task: Task) -> TaskRecord:
        placed = await self._placed(checked(task))
        failpoint("queue.submit")
        change = Enqueue(task=placed, depth=self._depth, children=self._children, descendants=self._descendants)
        record: TaskRecord = (await self._storage.commit(change))[0]
        failpoint("queue.submitted")
        return record

    async def _placed(self, task: Task) -> Task:
        """The task with its workspace: the same one when it is submitted again."""
        if task.workspace is not None or self._workspace is None:
            return task
        own = None
        if task.session is not None:
            with contextlib.suppress(NotFound):
                own = (await self._storage.session(task.session, task.principal)).workspace
        return replace(task, workspace=own or self._workspace)

    # --- topics ----------------------------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: dict[str, Any], *, key: str | None = None) -> Publication:
        """Publish a payload for all who subscribe to its topic now; it is durable when this returns.

        Once for each `key`: again it answers with the first publication, for seven days after the last use.

        Raises:
            BadRequest: That is no topic, or the payload is no JSON or larger than 1 MiB.
            Conflict: The key was used for something else. TooBusy: A subscriber is too far behind, come back later.
        """
        return await self._publish(Publish(topic=topic, payload=payload, key=key))

    async def _publish(self, change: Publish, *before: Subscribe) -> Publication:
        async def commit(change: Publish) -> Publication:
            failpoint("queue.publish")
            published: Publication = (await self._storage.commit(*before, change))[-1]
            failpoint("queue.published")
            return published

        return await through(self._middleware(), lambda each: each.publish, commit)(change)

    async def subscribe(self, name: str, pattern: str) -> AsyncGenerator[Publication, None]:
        """What is published under topics that match, in order, from when the subscription `name` was first made.

        It outlives the program. A publication counts as dealt with when the next one is asked for: at least once. A
        name has one reader; two at once would each get what the other has not yet dealt with. Close the iterator
        (`contextlib.aclosing`) when you leave it early.

        Raises:
            BadRequest: That is no name or pattern. Conflict: The name stands for another pattern.
            NotFound: Somebody has ended the subscription meanwhile. TooBusy: There are too many.
        """
        with self._storage.listen("topics") as bell:
            await self._storage.commit(Subscribe(name=name, pattern=pattern))
            while True:
                page = await self._storage.topics.unread(name, PAGE)
                for publication in page:
                    yield publication
                    failpoint("queue.consume")
                    await self._storage.commit(Consume(name=name, seq=publication.seq))
                    failpoint("queue.consumed")
                if not page:
                    await bell.wait()

    async def unsubscribe(self, name: str) -> None:
        """End a subscription, with what it has not read. Raises `NotFound`."""
        await self._storage.commit(Unsubscribe(name=name))

    async def request(
        self, topic: str, payload: dict[str, Any], *, timeout_seconds: float, key: str | None = None
    ) -> dict[str, Any]:
        """Publish a payload and wait for the first answer to it.

        With a `key` the request is made once, and its answer is kept for seven days: whoever asks again, after a
        restart or after giving up, gets the one answer.

        Raises:
            RetryableError: Nobody has answered in time. BadRequest, Conflict, TooBusy: As `publish`.
        """
        if not 0 < timeout_seconds <= LONGEST_REQUEST_SECONDS:
            raise BadRequest(f"a request cannot wait for {timeout_seconds} seconds", hint="wait for at most a day")
        reply_to = reply_topic(key)
        kept_ms = round(timeout_seconds * 1000) + _GRACE_MS if key is None else _ANSWER_MS
        change = Publish(topic=topic, payload=payload, key=key, reply_to=reply_to)
        answer: Publication | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._publish(change, Subscribe(name=reply_to, pattern=reply_to, until=now_ms() + kept_ms))
                answer = await self._first(reply_to)
        if key is None:
            with contextlib.suppress(NotFound):
                await self.unsubscribe(reply_to)
        if answer is None:
            raise RetryableError(
                f"nobody has answered {topic} within {timeout_seconds:g} s",
                hint="see who subscribes to it with `autohands topic list`",
            )
        return answer.payload

    async def _first(self, name: str) -> Publication:
        """The first publication of a subscription; it stays there."""
        with self._storage.listen("topics") as bell:
            while not (page := await self._storage.topics.unread(name, 1)):
                await bell.wait()
        return page[0]

    async def reply(self, publication: Publication, payload: dict[str, Any]) -> bool:
        """Answer a request. Whether this is the answer: the first one stands, also against a repetition of oneself.

        Raises:
            BadRequest: Nobody asked, or the payload is no JSON or larger than 1 MiB.
        """
        reply_to = publication.reply_to
        if reply_to is None:
            raise BadRequest(f"publication {publication.seq} of {publication.topic} awaits no answer")
        try:
            await self._publish(Publish(topic=reply_to, payload=payload, key=reply_to))
        except Conflict:  # another answer has this key
            return False
        return True


def reply_topic(key: str | None) -> str:
    """The private topic where a request awaits its answer: the same one for the same key."""
    word = new_id("request") if key is None else hashlib.sha256(key.encode(errors="replace")).hexdigest()
    return f"_reply.{word}"


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
