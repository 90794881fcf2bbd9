"""The acting half of a turn: each call is allowed, asked about or denied, and becomes one recorded step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import msgspec

from autohands.protocols.changes import RecordStep
from autohands.protocols.context import Parked, Wait
from autohands.protocols.errors import ToolError
from autohands.protocols.events import ToolFinished, ToolOutput, ToolStarted
from autohands.protocols.guard import Allow, Ask
from autohands.protocols.messages import ToolCall
from autohands.protocols.records import Step
from autohands.protocols.tool import ToolResult
from autohands.runtime.around import carry_out, is_cancelled, reconcile
from autohands.runtime.guards.denials import denied_in
from autohands.runtime.replay import NOT_REPLAYED
from autohands.runtime.toolbox import Checked
from autohands.sdk.clip import clip_ends, json_safe
from autohands.sdk.failpoint import failpoint

if TYPE_CHECKING:
    from autohands.core.context import ExecutionContext
    from autohands.runtime.history import Turn
    from autohands.runtime.run import Parts

UNKNOWN = (
    "outcome_unknown: this call had begun when the run was stopped, and nobody knows how far it came; "
    "check before repeating it"
)

CANNOT_WAIT = (
    "cannot_wait: {name} is {effect}, and a tool that waits starts again from its top, which only those may do that "
    "are `read` or `idempotent`; what it did before stays done"
)


class Admitted(msgspec.Struct, frozen=True):
    """A call that may run now."""

    index: int
    checked: Checked
    ctx: ExecutionContext
    asked: Ask | None = None


class Act:
    """Runs the open calls of one turn: reads side by side, effects one by one in the order asked."""

    def __init__(self, parts: Parts, turn: Turn) -> None:
        self._parts = parts
        self._turn = turn
        self._results = turn.results
        self._waits: list[Wait] = []
        self._held: dict[bool, int] = {}
        self._side_by_side = asyncio.Semaphore(parts.limits.parallel)
        self.denied: list[ToolCall] = denied_in(turn)

    async def run(self) -> list[ToolResult | None]:
        """The results, in the order asked.

        Raises:
            Parked: A call waits for a person or a signal, or the task is to rest; what has run is recorded.
        """
        admitted = [
            each
            for index, call in enumerate(self._turn.reply.tool_calls, 1)
            if self._results[index - 1] is None and (each := await self._admit(index, call))
        ]
        for group in _groups(admitted):
            if self._parts.lease.pausing:
                raise Parked(*self._waits)
            if not self._is_held(group[0]) and (ready := await self._as_approved(group)):
                await self._run_group(ready)
        if self._waits:
            raise Parked(*self._waits)
        return self._results

    def _wait(self, index: int, waits: Sequence[Wait], *, repeatable: bool) -> None:
        """Call `index` stays open, and holds back what is behind it."""
        self._waits.extend(waits)
        self._held[repeatable] = min(index, self._held.get(repeatable, index))

    def _is_held(self, each: Admitted) -> bool:
        """Effects keep their order: one that waits holds back those behind it, but for two that may both be repeated:
        they wait side by side."""
        if each.checked.effect == "read":
            return False
        holding = [index for repeatable, index in self._held.items() if not (repeatable and each.checked.repeatable)]
        return any(index < each.index for index in holding)

    async def _run_group(self, group: Sequence[Admitted]) -> None:
        if len(group) == 1:
            await self._run_one(group[0])
            return
        async with asyncio.TaskGroup() as tasks:
            for each in group:
                tasks.create_task(self._run_one(each))

    async def _admit(self, index: int, call: ToolCall) -> Admitted | None:
        """Decide about one call; what does not run gets its result here."""
        step = self._turn.steps.get(index)
        if step is None and self._replayed(index, call):
            return None
        self._parts.loops.enter(self._turn.number, index, call, self._parts.now())
        try:
            checked = self._parts.toolbox.check(call)
        except ToolError as error:
            self._refuse(index, call, error.text, step)
            return None
        ctx = self._parts.context.child(
            turn=self._turn.number, index=index, progress=lambda text: self._show(index, text)
        )
        if step is not None and not step.begins_again:
            await self._settle(index, checked, ctx, step)
            return None
        if self._parts.recorded is not None and checked.effect != "read":
            self._refuse(index, call, NOT_REPLAYED, step)
            return None
        if step is None and (objection := self._parts.loops.objection(self._turn.number, index)):
            self._end_denied(index, call, objection)
            return None
        return await self._judge(Admitted(index, checked, ctx), approved=step is not None)

    def _replayed(self, index: int, call: ToolCall) -> bool:
        """Whether the call has its result from the task that is replayed."""
        result = self._parts.recorded.take(call) if self._parts.recorded else None
        if result is not None:
            self._record(index, call, result, _status(result))
        return result is not None

    async def _judge(self, each: Admitted, *, approved: bool) -> Admitted | None:
        """What the guards say, and a person where they want one; `approved` if one has said that it is to run."""
        verdict = await self._parts.toolbox.judge(each.checked, each.ctx)
        if isinstance(verdict, Allow) or (approved and isinstance(verdict, Ask)):
            return each
        if isinstance(verdict, Ask):
            return await self._answered(msgspec.structs.replace(each, asked=verdict), verdict)
        self._deny(each.index, each.checked.call, verdict.reason)
        return None

    async def _answered(self, each: Admitted, ask: Ask) -> Admitted | None:
        """The call, if a person has said yes to it as it is now."""
        answer = await self._parts.approvals.answer(self._turn.number, each.index, each.checked, ask, each.ctx)
        if isinstance(answer, Wait):
            self._wait(each.index, [answer], repeatable=False)
        elif answer.allowed:
            return each
        else:
            self._deny(each.index, each.checked.call, answer.reason)
        return None

    async def _as_approved(self, group: Sequence[Admitted]) -> list[Admitted]:
        """Those calls that may run: what ran since a call was approved may have changed what it would do."""
        found = [each if each.asked is None else await self._answered(each, each.asked) for each in group]
        return [each for each in found if each is not None]

    async def _settle(self, index: int, checked: Checked, ctx: ExecutionContext, step: Step) -> None:
        """An effect that had begun when the program stopped: its outcome if the tool can tell, else unknown."""
        result: ToolResult | None = None
        if step.status == "started" and step.input_hash == checked.digest:
            output_bytes = self._parts.limits.output_bytes
            result = await reconcile(checked.tool, ctx, ctx.scope.key, checked.arguments, output_bytes)
        if result is None:
            self._doubt(index, checked.call, step)
        else:
            self._record(index, checked.call, result, _status(result))

    def _doubt(self, index: int, call: ToolCall, step: Step) -> None:
        """Nobody knows what became of a call that had begun: the model is told so, or a person is asked first."""
        if self._parts.on_unknown == "tell":
            self._record(index, call, ToolResult(UNKNOWN, failed=True), "unknown")
            return
        if step.status == "started":
            self._parts.lease.note(self._step(index, call.name, "unknown", None, None))
        self._wait(index, [Wait("decision", f"{self._turn.number}.{index}")], repeatable=False)

    async def _run_one(self, each: Admitted) -> None:
        index, checked = each.index, each.checked
        if checked.effect != "read" and await self._is_kept_off(each):
            return
        await self._begin(index, checked)
        try:
            async with self._side_by_side:
                result = await carry_out(checked.tool, each.ctx, checked.arguments, self._parts.limits.output_bytes)
        except asyncio.CancelledError as error:
            if not checked.repeatable and error.args != ("stopping",):  # a run that goes on later asks the tool
                self._record(index, checked.call, ToolResult(UNKNOWN, failed=True), "unknown", checked.digest)
            raise
        except Parked as parked:
            if checked.repeatable:
                self._wait(index, parked.waits, repeatable=True)
                return
            result = ToolResult(CANNOT_WAIT.format(name=checked.call.name, effect=checked.effect), failed=True)
        failpoint("act.carried_out")
        if checked.effect == "read" and self._parts.unchanged:
            result = self._parts.history.repeats.answer(checked.call, result)
        self._record(index, checked.call, result, _status(result), None if checked.repeatable else checked.digest)
        failpoint("act.recorded")
        if is_cancelled():
            raise asyncio.CancelledError  # the tool took no notice of it

    async def _begin(self, index: int, checked: Checked) -> None:
        """Tell that a call begins; an effect's intent is durable before it does."""
        started = ToolStarted(turn=self._turn.number, index=index, call=checked.call, effect=checked.effect)
        if checked.repeatable:
            self._parts.lease.emit(started)
            return
        intent = self._step(index, checked.call.name, "started", None, checked.digest)
        failpoint("act.intended")
        await self._parts.lease.commit(*self._parts.purse.take_pending(), RecordStep(step=intent), event=started)
        failpoint("act.begun")

    async def _is_kept_off(self, each: Admitted) -> bool:
        """Whether an effect must not run here and now: everything is stopped, or another run writes there."""
        await self._parts.halt()
        leases, purse = self._parts.leases, self._parts.purse
        taken = None if leases is None else await leases.claim(each.checked, each.ctx, purse.take_pending)
        if taken is not None:
            self._record(each.index, each.checked.call, ToolResult(taken, failed=True), "failed")
        return taken is not None

    def _record(
        self,
        index: int,
        call: ToolCall,
        result: ToolResult,
        status: Literal["done", "failed", "unknown", "denied"],
        digest: bytes | None = None,
    ) -> None:
        result = self._parts.loops.told(self._turn.number, index, result, warn=status in ("done", "failed"))
        self._results[index - 1] = result
        told = ToolFinished(turn=self._turn.number, index=index, call_id=call.id, name=call.name, status=status)
        if status == "unknown":  # what was told stays told, even where a person decides otherwise
            told = msgspec.structs.replace(told, result=result)
        self._parts.lease.note(self._step(index, call.name, status, msgspec.json.encode(result), digest), told)

    def _step(
        self,
        index: int,
        name: str,
        status: Literal["started", "done", "failed", "unknown", "denied"],
        output: bytes | None,
        digest: bytes | None,
    ) -> Step:
        now = self._parts.now()
        return Step(
            turn=self._turn.number,
            index=index,
            kind="tool",
            name=name,
            status="failed" if status == "denied" else status,
            denied=status == "denied",
            output=output,
            idempotent=digest is None,
            input_hash=digest,
            started=now,
            ended=None if status == "started" else now,
        )

    def _refuse(self, index: int, call: ToolCall, text: str, step: Step | None) -> None:
        """A call that cannot run; if it had begun before its tool changed, nobody can tell what became of it."""
        if step is not None:
            self._doubt(index, call, step)
        else:
            self._record(index, call, ToolResult(text, failed=True), "failed")

    def _deny(self, index: int, call: ToolCall, reason: str) -> None:
        self.denied.append(call)
        self._end_denied(index, call, reason)

    def _end_denied(self, index: int, call: ToolCall, reason: str) -> None:
        self._record(index, call, ToolResult(f"denied: {reason}", failed=True), "denied")

    def _show(self, index: int, text: str) -> None:
        shown = clip_ends(json_safe(text), self._parts.limits.output_bytes)
        self._parts.lease.emit(ToolOutput(turn=self._turn.number, index=index, text=shown))


def _groups(admitted: Sequence[Admitted]) -> Iterator[list[Admitted]]:
    """Runs of reads together, each effect alone."""
    for is_read, group in groupby(admitted, key=lambda each: each.checked.effect == "read"):
        if is_read:
            yield list(group)
        else:
            yield from ([each] for each in group)


def _status(result: ToolResult) -> Literal["done", "failed"]:
    return "failed" if result.failed else "done"
