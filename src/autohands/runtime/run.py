"""One execution of a task: what the agent loop asks of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from autohands.protocols.changes import Change, Finish, ReadWords
from autohands.protocols.context import Parked
from autohands.protocols.errors import ProviderError
from autohands.protocols.events import Reason, ReplyFinished, RetryScheduled, TextDelta, ThinkingDelta, TurnStarted
from autohands.protocols.messages import Reply, ToolCall
from autohands.protocols.provider import LLMProvider, Request, Retrying, TextPiece, ThinkingPiece
from autohands.protocols.records import Step
from autohands.protocols.storage import Lease, Storage
from autohands.protocols.task import OnUnknown, TaskState
from autohands.runtime.act import Act
from autohands.runtime.approvals import Approvals
from autohands.runtime.context import ContextBuilder
from autohands.runtime.governor import Metered, Purse
from autohands.runtime.guards.denials import Denials
from autohands.runtime.guards.leases import WriteLeases
from autohands.runtime.guards.loops import Loops
from autohands.runtime.guards.quota import Quota
from autohands.runtime.history import History, Turn, is_cut_short
from autohands.runtime.replay import Recorded
from autohands.runtime.stopping import going_on
from autohands.runtime.toolbox import Toolbox
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import now_ms

if TYPE_CHECKING:
    from autohands.core.context import ExecutionContext

MAX_CUT_SHORT = 3
_ENCODER = msgspec.json.Encoder()


class Ended(msgspec.Struct, frozen=True):
    """How a run ended."""

    reason: Reason
    text: str = ""


class RunLimits(msgspec.Struct, frozen=True):
    """Limits of one run: turns, the deadline in UTC ms, calls side by side, bytes of a tool's output."""

    turns: int = 100
    deadline: int | None = None
    parallel: int = 8
    output_bytes: int = 32_768


class Parts(msgspec.Struct, frozen=True):
    """What a run is made of: the names of its task turned into objects, once.

    `on_unknown` says what becomes of an effect without an outcome; a replay's calls get what was `recorded`. With
    `unchanged` a read that gives what stands in the history already says only so.
    """

    lease: Lease
    storage: Storage
    history: History
    builder: ContextBuilder
    provider: LLMProvider
    metered: Metered
    purse: Purse
    toolbox: Toolbox
    approvals: Approvals
    limits: RunLimits
    context: ExecutionContext
    quota: Quota
    on_unknown: OnUnknown = "tell"
    recorded: Recorded | None = None
    loops: Loops = msgspec.field(default_factory=Loops)
    leases: WriteLeases | None = None
    halt: Callable[[], Awaitable[None]] = going_on
    unchanged: bool = True
    now: Callable[[], int] = now_ms


class Run:
    """The state of one execution. `turns` are those recorded before, folded into the history already."""

    def __init__(self, parts: Parts, turns: Sequence[Turn]) -> None:
        self._parts = parts
        self._turn = turns[-1] if turns else None
        self._recorded = _needs_more(self._turn)
        self._listened = parts.lease.attempt == 1 and parts.lease.record.forked_from is None
        self._cut_short = _cut_short(turns)
        self._denials = Denials()
        self._denials.fold(turns)
        parts.loops.fold(turns)

    @property
    def turn(self) -> int:
        """The number of the current turn, from 1; 0 before the first."""
        return self._turn.number if self._turn else 0

    @property
    def said(self) -> str:
        """What the model said last; empty before it has said anything."""
        return self._turn.reply.message.text if self._turn else ""

    @property
    def remaining_seconds(self) -> float | None:
        """How long it may still take; None for ever."""
        deadline = self._parts.limits.deadline
        return None if deadline is None else max(deadline - self._parts.now(), 0) / 1000

    def abort(self, reason: str) -> None:
        """Set the run's abort signal, for those of its tools that listen to it."""
        self._parts.context.abort.set(reason)

    def may_continue(self) -> bool:
        """Whether another turn may begin. A recorded turn with open calls is always carried through."""
        return self._recorded or self._limit() is None

    def _limit(self) -> Reason | None:
        if self._parts.quota.exceeded:
            return "call_limit"
        if self._denials.stuck or self._parts.loops.stuck:
            return "denied" if self._denials.stuck else "loop"
        if self.turn >= self._parts.limits.turns:
            return "turn_limit"
        if self._parts.limits.deadline is not None and self._parts.now() >= self._parts.limits.deadline:
            return "time_limit"
        return None

    async def ask(self) -> Reply:
        """The model's reply for this turn: the recorded one, or a new one, recorded.

        Raises:
            Parked: The task is to rest.
        """
        if self._recorded and self._turn:
            self._recorded = False
            return self._turn.reply
        if self._parts.lease.pausing:
            raise Parked
        number = self.turn + 1
        self._parts.purse.turn = number
        self._parts.builder.note_time(self._parts.history, number, self._parts.now())
        await self._listen(number)
        self._parts.lease.emit(TurnStarted(turn=number))
        started = self._parts.now()
        reply = self._parts.history.distinct(await self._reply(number))
        failpoint("run.replied")
        self._record(number, reply, started)
        failpoint("run.recorded")
        return reply

    async def _listen(self, number: int) -> None:
        """Words said meanwhile join this turn, with those that were read by an attempt at it which came to nothing."""
        if self._listened and not self._parts.lease.unread:
            return
        self._listened = True
        words = await self._parts.storage.words(self._parts.lease.record.id)
        unread = [word for word in words if word.turn is None or word.turn >= number]
        if unread:
            self._parts.purse.pending.append(ReadWords(ids=tuple(word.id for word in unread), turn=number))
            self._parts.history.hear(word.text for word in unread)

    async def _reply(self, number: int) -> Reply:
        """What the model says; if it finds the request too long, what it says to a shorter one, once."""
        builder, history, session = self._parts.builder, self._parts.history, self._parts.lease.record.session
        request = await builder.build(history, session, number)
        try:
            return await self._stream(request, number)
        except ProviderError as error:
            if error.kind != "overflow":
                raise
            request = await builder.rebuild(history, session, number, error)
        return await self._stream(request, number)

    async def _stream(self, request: Request, number: int) -> Reply:
        emit, reply = self._parts.lease.emit, None
        self._parts.metered.characters = self._parts.builder.size
        failpoint("run.asking")
        async for delta in self._parts.provider.stream(request):
            if isinstance(delta, TextPiece):
                emit(TextDelta(text=delta.text, turn=number))
            elif isinstance(delta, ThinkingPiece):
                emit(ThinkingDelta(text=delta.text, turn=number))
            elif isinstance(delta, Retrying):
                emit(
                    RetryScheduled(
                        turn=number, attempt=delta.attempt, reason=delta.reason, delay_seconds=delta.delay_seconds
                    )
                )
            else:
                reply = delta.reply  # the last one: to its end, so that the stream closes itself
        if reply is not None:
            return reply
        raise ProviderError(f"{self._parts.provider.name} ended its stream without a reply", kind="broken")

    def _record(self, number: int, reply: Reply, started: int) -> None:
        step = Step(
            turn=number,
            index=0,
            kind="model",
            name=reply.model or self._parts.provider.name,
            status="done",
            output=_ENCODER.encode(reply),
            input_hash=self._parts.builder.replied(self._parts.history, number, reply.usage),
            usage=reply.usage,
            started=started,
            ended=self._parts.now(),
        )
        self._parts.lease.note(step, ReplyFinished(turn=number, stop=reply.stop, usage=reply.usage))
        self._turn = Turn(number, reply, {})
        self._parts.history.reply(reply)

    async def act(self, calls: Sequence[ToolCall]) -> None:
        """Run the calls of this turn that are still open.

        Raises:
            Parked: One waits for a person or a signal, or the task is to rest.
        """
        if self._turn is None:
            return
        act = Act(self._parts, self._turn)
        results = await act.run()
        self._parts.history.results(calls, results, self._turn.number)
        self._denials.notice(calls, act.denied)
        self._cut_short = 0

    async def finish(self, reply: Reply) -> Ended | None:
        """End the task with this reply, or None where there is more to come."""
        if reply.stop == "pause":
            return None
        if is_cut_short(reply):
            self._cut_short += 1
            if self._cut_short > MAX_CUT_SHORT:
                return await self.end("failed", error="the model's answers were empty or cut short, again and again")
            self._parts.history.go_on()
            return None
        text = reply.message.text
        if reply.stop == "refusal":
            return await self.end("failed", text, "the model refused to answer")
        if await self._commit(Finish(state="done", reason="done", text=text, unless_words=True)):
            return Ended("done", text)
        return None

    async def stop(self) -> Ended:
        """End the task at a limit."""
        reason = self._limit() or "failed"
        return await self.end(reason, self.said, LIMIT_TEXTS.get(reason, ""))

    async def end(self, reason: Reason, text: str = "", error: str = "") -> Ended:
        """End the task for `reason`."""
        await self._commit(Finish(state=end_state(reason), reason=reason, text=text, error=error))
        return Ended(reason, text)

    def take_pending(self) -> list[Change]:
        """What waits for the next barrier, for who makes it."""
        return self._parts.purse.take_pending()

    async def _commit(self, finish: Change) -> bool:
        failpoint("run.ending")
        return bool((await self._parts.lease.commit(*self.take_pending(), finish))[-1])


LIMIT_TEXTS: dict[str, str] = {
    "turn_limit": "the limit of turns is reached; raise --max-turns or [limits] turns",
    "time_limit": "the time is over; raise [limits] time_seconds",
    "call_limit": "the limit of tool calls is reached; raise [limits] tool_calls",
    "denied": "the work cannot go on without a call that was denied",
    "loop": "the model did the same again and again, after it was told so",
}


def end_state(reason: Reason) -> TaskState:
    """The state in which a task ends for a reason."""
    states: dict[Reason, TaskState] = {
        "done": "done",
        "client_tools": "done",
        "cancelled": "cancelled",
        "attempts": "dead",
    }
    return states.get(reason, "failed")


def _cut_short(turns: Sequence[Turn]) -> int:
    """How many answers in a row were cut short before the last turn, which is judged anew where it is one."""
    return sum(1 for _ in takewhile(lambda turn: is_cut_short(turn.reply), reversed(turns[:-1])))


def _needs_more(turn: Turn | None) -> bool:
    """Whether a recorded turn is still to be carried through: it has open calls, or it may be the last one."""
    return turn is not None and (None in turn.results or not turn.reply.tool_calls)
