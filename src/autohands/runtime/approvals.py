"""What becomes of a call that a guard wants a person to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autohands.protocols.changes import AskApproval
from autohands.protocols.context import Wait
from autohands.protocols.events import ApprovalRequested
from autohands.protocols.guard import Ask
from autohands.protocols.records import ApprovalRecord
from autohands.protocols.storage import Lease
from autohands.runtime.around import preview
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id, now_ms

if TYPE_CHECKING:
    from autohands.core.context import ExecutionContext
    from autohands.runtime.toolbox import Checked

NOBODY = "nobody is there to approve it: {reason}. Use --yes, a policy rule, or a terminal"
NOT_COVERED = "{reason}, which --yes does not cover: a person at a terminal has to say yes"


class Answer(msgspec.Struct, frozen=True):
    """Yes or no, and why."""

    allowed: bool
    reason: str = ""


class Approvals:
    """The approvals of one task. Each is bound to the bytes of one call, is used once and survives a restart."""

    def __init__(
        self, lease: Lease, known: list[ApprovalRecord], expire_seconds: float, preview_bytes: int = 32_768
    ) -> None:
        self._lease = lease
        self._task = lease.record.task
        self._known = {(record.turn, record.index): record for record in known}
        self._expire_seconds = expire_seconds
        self._preview_bytes = preview_bytes

    async def answer(self, turn: int, index: int, checked: Checked, ask: Ask, ctx: ExecutionContext) -> Answer | Wait:
        """The answer that stands, or the wait for one."""
        if record := self._known.get((turn, index)):
            return _read(record, checked.digest)
        if self._task.consent == "workspace" and not ask.protected:
            return Answer(allowed=True)
        if self._task.consent != "ask" and not (self._task.consent == "workspace" and self._task.attended):
            text = NOT_COVERED if self._task.consent == "workspace" else NOBODY
            return Answer(allowed=False, reason=text.format(reason=ask.reason))
        return await self._request(turn, index, checked, ask, ctx)

    async def _request(self, turn: int, index: int, checked: Checked, ask: Ask, ctx: ExecutionContext) -> Wait:
        shown = await preview(checked.tool, ctx, checked.arguments, self._preview_bytes)
        now = now_ms()
        record = ApprovalRecord(
            id=new_id("apr"),
            task=self._lease.record.id,
            turn=turn,
            index=index,
            tool=checked.call.name,
            effect=checked.effect,
            preview=shown,
            digest=checked.digest,
            reason=ask.reason,
            created=now,
            expires=now + int(self._expire_seconds * 1000),
        )
        event = ApprovalRequested(
            approval=record.id,
            turn=turn,
            index=index,
            call=checked.call,
            effect=checked.effect,
            preview=shown,
            reason=ask.reason,
        )
        failpoint("approvals.requesting")
        await self._lease.commit(AskApproval(approval=record), event=event)
        failpoint("approvals.requested")
        self._known[turn, index] = record
        return _wait(record)


def _read(record: ApprovalRecord, digest: bytes) -> Answer | Wait:
    if record.digest != digest:
        return Answer(allowed=False, reason="approval_stale: the call is not the one that was shown")
    if record.state == "allow":
        return Answer(allowed=True)
    if record.state == "deny":
        return Answer(allowed=False, reason=f"{record.by or 'a person'} said no")
    if record.state == "expired" or (record.expires is not None and record.expires <= now_ms()):
        return Answer(allowed=False, reason="nobody answered in time")
    return _wait(record)


def _wait(record: ApprovalRecord) -> Wait:
    return Wait("approval", record.id, record.expires)
