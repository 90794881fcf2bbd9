"""Follows one task to its end: shows what happens, asks the person, cancels on Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from autohands.cli.approval import keep_rule
from autohands.cli.approve import Person, Said
from autohands.cli.doubts import doubts_of, is_decision, next_step
from autohands.cli.fail import DENIED, FAILED, INTERRUPTED, REASONS
from autohands.cli.listing import when
from autohands.cli.render import Screen
from autohands.protocols.changes import DecideStep
from autohands.protocols.errors import AutoHandsError, ConfigError, Conflict
from autohands.protocols.events import (
    ApprovalDecided,
    ApprovalRequested,
    Durable,
    Event,
    RunFinished,
    TaskWaiting,
    Unknown,
)
from autohands.protocols.task import Consent, TaskRecord

if TYPE_CHECKING:
    from autohands.hands import Hands

T = TypeVar("T")
Told: TypeAlias = Sequence[tuple[bytes, Event | Unknown]]
_TICK_SECONDS = 0.2


class Interrupt:
    """Ctrl-C: the first press asks to stop, the second ends the program at once."""

    def __init__(self) -> None:
        self._pressed = asyncio.Event()

    @property
    def pressed(self) -> bool:
        """Whether it was pressed."""
        return self._pressed.is_set()

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Listen for Ctrl-C in this block."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.press)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def press(self) -> None:
        """Take note of one press."""
        if self.pressed:
            os._exit(INTERRUPTED)  # what is recorded is durable, and started processes end with this one
        self._pressed.set()

    async def wait(self) -> None:
        """Return when it was pressed."""
        await self._pressed.wait()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of `work`, or None if it was interrupted before."""
        working, pressed = asyncio.ensure_future(work), asyncio.ensure_future(self._pressed.wait())
        try:
            await asyncio.wait((working, pressed), return_when=asyncio.FIRST_COMPLETED)
            return await working if working.done() else None
        finally:
            for each in (working, pressed):
                each.cancel()
            await asyncio.wait((working, pressed))


class Follower:
    """Follows tasks on one screen. Without a `person` nobody can answer, and a task that waits for one is left.

    Its `own` tasks run in this program, and are interrupted with it.
    """

    def __init__(self, hands: Hands, screen: Screen, person: Person | None, *, own: bool = True) -> None:
        self._hands = hands
        self._screen = screen
        self._person = person
        self._own = own
        self._asking = asyncio.Lock()
        self._beside: list[asyncio.Task[None]] = []
        self._beneath: set[str] = set()

    async def follow(
        self,
        task: str,
        interrupt: Interrupt,
        *,
        after: int = 0,
        questions: Sequence[ApprovalRequested] = (),
        waiting: TaskWaiting | None = None,
    ) -> int:
        """Follow a task to its end, from the event behind `after` on; the exit status that it means.

        `questions` are asked first, and what it is `waiting` for is seen to. An interrupt cancels the task, and its end
        is waited for.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._group, self._beneath = group, set()
                self._beside = [group.create_task(self._cancel(interrupt, task)), group.create_task(self._tick())]
                for request in questions:
                    await self._decide(request, interrupt)
                status = None if waiting is None else await self._attend(waiting, interrupt)
                if status is None:
                    status = await self._read(task, after, interrupt)
                for each in self._beside:
                    each.cancel()
        except BaseExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None
        return status

    async def resume(self, record: TaskRecord, interrupt: Interrupt, *, yes: bool = False) -> int:
        """Take a task up where it stopped and follow it from there; the exit status that it means.

        Its consent stays what it was, unless `yes` or a person who is here now widens it.

        Raises:
            Conflict: It is done, or a living process runs it.
        """
        told = await stored_events(self._hands, record.id)
        consent: Consent | None = "workspace" if yes else None
        if consent is None and self._person and record.task.consent == "deny":
            consent = "ask"
        record = await self._hands.resume(record.id, consent=consent)
        self._screen.tell(f"takes up {record.id}{_from_when(record)}")
        questions = _open_questions(told)
        for request in [each for each in questions if yes and not _touches_protected(each, record)]:
            await self._answer(request, "once")
            questions.remove(request)
        waiting = [(data, event) for data, event in told if isinstance(event, TaskWaiting)]
        open_wait = waiting[-1] if waiting and record.state == "waiting" else None
        if open_wait and not self._person and (questions or is_decision(open_wait[1].waits)):
            self._screen.show(*open_wait)
            return self._leave(open_wait[1])
        beneath = open_wait is not None and open_wait[1].reason == "child"
        wait = open_wait[1] if open_wait and (beneath or is_decision(open_wait[1].waits)) else None
        return await self.follow(record.id, interrupt, after=_last_seq(told), questions=questions, waiting=wait)

    def _leave(self, waiting: TaskWaiting) -> int:
        """Say how it can go on."""
        asked = [wait.removeprefix("approval:") for wait in waiting.waits if wait.startswith("approval:")]
        step = f"it waits for an approval; at a terminal: autohands task resume {waiting.task}"
        if asked and not self._own:
            step = f"it waits for an answer: autohands approval allow {asked[0]}, or deny"
        self._screen.tell(next_step(waiting.task) if is_decision(waiting.waits) else step)
        return DENIED

    async def _attend(self, waiting: TaskWaiting, interrupt: Interrupt) -> int | None:
        """See to what a task waits for; the exit status where that cannot be done here and now."""
        self._look_beneath(waiting, interrupt)
        if self._person is None:
            return self._leave(waiting) if waiting.reason == "approval" or is_decision(waiting.waits) else None
        for doubt in await doubts_of(self._hands, waiting.task) if is_decision(waiting.waits) else ():
            decision = await interrupt.unless(self._person.decides(doubt))
            if interrupt.pressed:
                return None
            if decision is None:
                return self._leave(waiting)
            change = DecideStep(task=waiting.task, decision=decision, by="owner", turn=doubt.turn, index=doubt.index)
            try:
                await self._hands.storage.commit(change)
            except Conflict as error:
                self._screen.tell(error.text)
            if decision == "cancel":
                break
        return None

    def _look_beneath(self, waiting: TaskWaiting, interrupt: Interrupt) -> None:
        """Sub-agents that a task waits for ask here too, where a person is."""
        waits = (wait.partition(":") for wait in waiting.waits) if self._person else ()
        for child in [key for kind, _, key in waits if kind == "child" and key not in self._beneath]:
            self._beneath.add(child)
            self._beside.append(self._group.create_task(self._answer_beneath(child, interrupt)))

    async def _answer_beneath(self, child: str, interrupt: Interrupt) -> None:
        from autohands.bridge import decode_event

        told = await stored_events(self._hands, child)
        for request in _open_questions(told):
            await self._decide(request, interrupt)
        for _, event in told[-1:]:
            if isinstance(event, TaskWaiting):
                self._look_beneath(event, interrupt)
        async for data in self._hands.follow(child, _last_seq(told)):
            event = decode_event(data)
            if isinstance(event, ApprovalRequested):
                await self._decide(event, interrupt)
            elif isinstance(event, TaskWaiting):
                self._look_beneath(event, interrupt)

    async def _cancel(self, interrupt: Interrupt, task: str) -> None:
        await interrupt.wait()
        self._screen.tell("stopping; press Ctrl-C again to leave at once")
        await self._hands.cancel(task)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._screen.tick()

    async def _read(self, task: str, after: int, interrupt: Interrupt) -> int:
        from autohands.bridge import decode_event

        status = left = None
        try:
            async for data in self._hands.follow(task, after):
                event = decode_event(data)
                self._screen.show(data, event)
                if isinstance(event, RunFinished):
                    status = REASONS.get(event.reason, FAILED)
                if isinstance(event, ApprovalRequested):
                    await self._decide(event, interrupt)
                if isinstance(event, TaskWaiting) and (left := await self._attend(event, interrupt)) is not None:
                    return left
        except asyncio.CancelledError:
            if self._own:
                self._screen.tell(f"interrupted; take it up again: autohands task resume {task}")
            raise
        if status is None:
            raise AutoHandsError(f"the run {task} has no end", hint=f"autohands task show {task}")
        return status

    async def _decide(self, request: ApprovalRequested, interrupt: Interrupt) -> None:
        if self._person is None:
            return
        async with self._asking:  # one question at a time, whoever asks
            said = await interrupt.unless(self._person.allows(request))
        if said is not None:
            await self._answer(request, said)

    async def _answer(self, request: ApprovalRequested, said: Said) -> None:
        try:
            await self._hands.decide(request.approval, allow=said != "no", for_session=said in ("session", "rule"))
            if said == "rule" and request.rule is not None:
                self._screen.tell(keep_rule(self._hands, request.rule))
        except (Conflict, ConfigError) as error:
            self._screen.tell(error.text)


async def stored_events(hands: Hands, task: str) -> list[tuple[bytes, Event | Unknown]]:
    """All that is recorded of a task, as JSON and decoded."""
    from autohands.bridge import decode_event

    found: list[tuple[bytes, Event | Unknown]] = []
    while page := await hands.journal.events(task, _last_seq(found)):
        found += [(data, decode_event(data)) for data in page]
    return found


def _open_questions(told: Told) -> list[ApprovalRequested]:
    """What was asked and has no answer."""
    asked: dict[str, ApprovalRequested] = {}
    for _, event in told:
        if isinstance(event, ApprovalRequested):
            asked[event.approval] = event
        elif isinstance(event, ApprovalDecided):
            asked.pop(event.approval, None)
    return list(asked.values())


def _touches_protected(request: ApprovalRequested, record: TaskRecord) -> bool:
    """Whether a person has to answer even where effects in the workspace are allowed (FS12)."""
    from autohands.core.protected import is_protected

    texts = (value for value in request.call.arguments.values() if isinstance(value, str))
    return any(is_protected(text, record.task.workspace or "") for text in texts)


def _last_seq(told: Told) -> int:
    """The number of the last recorded event, 0 where there is none."""
    for _, event in reversed(told):
        seq = event.raw.get("seq") if isinstance(event, Unknown) else isinstance(event, Durable) and event.seq
        if isinstance(seq, int):
            return seq
    return 0


def _from_when(record: TaskRecord) -> str:
    """What is said of a task that does not begin yet."""
    if record.state != "delayed":
        return ""
    return (
        f"; it begins at {when(record.run_at)}" if record.run_at else "; it begins when what it comes after has ended"
    )
