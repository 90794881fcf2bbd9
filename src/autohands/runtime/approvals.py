"""What becomes of a call that a guard wants a person to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from autohands.config.schema import PolicyRule
from autohands.protocols.changes import AskApproval
from autohands.protocols.context import Wait
from autohands.protocols.events import ApprovalRequested
from autohands.protocols.guard import Ask
from autohands.protocols.records import ApprovalRecord
from autohands.protocols.storage import Lease, Storage
from autohands.runtime.around import preview
from autohands.runtime.binding import Environment, bound
from autohands.runtime.guards.proposal import propose
from autohands.runtime.guards.rules import Call, fits, seen
from autohands.runtime.shown import shown
from autohands.sdk.clip import escape
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id, now_ms

if TYPE_CHECKING:
    from autohands.core.context import ExecutionContext
    from autohands.runtime.toolbox import Checked

NOBODY = "nobody is there to approve it: {reason}. Use --yes, a policy rule, or a terminal"
NOT_COVERED = "{reason}, which --yes does not cover: a person at a terminal has to say yes"
STALE = "approval_stale: what was approved has changed since then, in a file, the program or the environment; {reason}"
PREVIEW_BYTES = 262_144
HOUR_MS = 3_600_000


class Answer(msgspec.Struct, frozen=True):
    """Yes or no, and why."""

    allowed: bool
    reason: str = ""


class Asking(msgspec.Struct, frozen=True):
    """How people are asked: how long a question stands, and how many there may be in an hour."""

    expire_seconds: float = 24 * 3600.0
    per_hour: int | None = None


class Approvals:
    """The approvals of one task. Each is bound to the bytes of one call, is used once and survives a restart.

    `permitted` are rules by which a person has allowed calls for the rest of the session, `environment` is what
    commands would see.
    """

    def __init__(
        self,
        lease: Lease,
        storage: Storage,
        known: Sequence[ApprovalRecord],
        permitted: Sequence[Mapping[str, Any]],
        asking: Asking,
        environment: Environment,
    ) -> None:
        self._lease = lease
        self._storage = storage
        self._task = lease.record.task
        self._known = {(record.turn, record.index): record for record in known}
        self._permitted = [msgspec.convert(rule, PolicyRule) for rule in permitted]
        self._asking = asking
        self._environment = environment

    async def answer(self, turn: int, index: int, checked: Checked, ask: Ask, ctx: ExecutionContext) -> Answer | Wait:
        """The answer that stands, or the wait for one."""
        call = seen(checked.converted, checked.effect, ctx.workspace, ctx.scope.source)
        if record := self._known.get((turn, index)):
            if record.state != "allow" or record.digest == await bound(checked, ctx, self._environment):
                return _read(record)
            ask = Ask(STALE.format(reason=ask.reason), ask.protected)
        elif not ask.protected and any(fits(rule, call) for rule in self._permitted):
            return Answer(allowed=True)
        if self._task.consent == "workspace" and not ask.protected:
            return Answer(allowed=True)
        if self._task.consent != "ask" and not (self._task.consent == "workspace" and self._task.attended):
            text = NOT_COVERED if self._task.consent == "workspace" else NOBODY
            return Answer(allowed=False, reason=text.format(reason=ask.reason))
        return await self._enough(turn, index) or await self._request((turn, index), checked, ask, call, ctx)

    async def _enough(self, turn: int, index: int) -> Wait | None:
        """The wait until a person may be asked again, where they were asked often enough."""
        most = self._asking.per_hour
        first = None if most is None else await self._storage.asked(most)
        if first is None or first <= now_ms() - HOUR_MS:
            return None
        return Wait("timer", f"questions:{turn}.{index}", first + HOUR_MS)

    async def _request(
        self, place: tuple[int, int], checked: Checked, ask: Ask, call: Call, ctx: ExecutionContext
    ) -> Wait:
        text = shown(await preview(checked.tool, ctx, checked.arguments, PREVIEW_BYTES))
        now, (turn, index) = now_ms(), place
        record = ApprovalRecord(
            id=new_id("apr"),
            task=self._lease.record.id,
            turn=turn,
            index=index,
            tool=checked.call.name,
            effect=checked.effect,
            preview=text,
            digest=await bound(checked, ctx, self._environment),
            reason=shown(ask.reason),
            rule=propose(call, ask),
            created=now,
            expires=now + int(self._asking.expire_seconds * 1000),
        )
        event = ApprovalRequested(
            approval=record.id,
            turn=turn,
            index=index,
            call=checked.call,
            effect=checked.effect,
            preview=text,
            reason=record.reason,
            origin=escape(f"{ctx.scope.source}, agent {ctx.scope.agent}, session {ctx.scope.session}"),
            hosts=tuple(escape(host) for host in call.hosts),
            rule=record.rule,
        )
        failpoint("approvals.requesting")
        await self._lease.commit(AskApproval(approval=record), event=event)
        failpoint("approvals.requested")
        self._known[place] = record
        return _wait(record)


async def approvals_of(lease: Lease, storage: Storage, asking: Asking, environment: Environment) -> Approvals:
    """The approvals of a task that is taken up, as they are recorded."""
    record = lease.record
    known = [] if lease.attempt == 1 else await storage.approvals(task=record.id, pending=False)
    return Approvals(lease, storage, known, await storage.permitted(record.session), asking, environment)


def _read(record: ApprovalRecord) -> Answer | Wait:
    if record.state == "allow":
        return Answer(allowed=True)
    if record.state == "deny":
        return Answer(allowed=False, reason=f"{record.by or 'a person'} said no")
    if record.state == "expired" or (record.expires is not None and record.expires <= now_ms()):
        return Answer(allowed=False, reason="nobody answered in time")
    return _wait(record)


def _wait(record: ApprovalRecord) -> Wait:
    return Wait("approval", record.id, record.expires)
