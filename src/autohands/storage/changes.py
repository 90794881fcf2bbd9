"""Which function carries out which change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from autohands.protocols import changes as protocol
from autohands.protocols import outbox as outgoing
from autohands.protocols import queues as queuing
from autohands.protocols import schedule as timed
from autohands.protocols import topics as told
from autohands.protocols.errors import BadRequest
from autohands.storage import (
    approvals,
    claims,
    decisions,
    endings,
    forks,
    holds,
    ledger,
    outbox,
    parking,
    queues,
    resting,
    schedules,
    sessions,
    signals,
    steps,
    tasks,
    topics,
)
from autohands.storage.readers import NO_TEXT
from autohands.storage.transaction import TaskKey, Transaction

Free: TypeAlias = Callable[[Transaction, Any], Any]
Leased: TypeAlias = Callable[[Transaction, Any, TaskKey], Any]
Applicable: TypeAlias = protocol.Change | tasks.Placed | schedules.PlacedSchedule

_FREE: Final[Mapping[type, Free]] = {
    protocol.Enqueue: tasks.enqueue,
    tasks.Placed: tasks.enqueue,
    protocol.Speak: signals.speak,
    protocol.Tell: signals.tell,
    protocol.Reserve: ledger.reserve,
    protocol.Settle: ledger.settle,
    protocol.Cancel: endings.cancel,
    protocol.Decide: approvals.decide,
    protocol.Signal: signals.signal,
    protocol.Redo: claims.redo,
    protocol.Pause: resting.pause,
    protocol.DecideStep: decisions.decide,
    protocol.Fork: forks.fork,
    protocol.RenameSession: sessions.rename,
    protocol.ForgetSession: sessions.forget,
    timed.SaveSchedule: schedules.save,
    schedules.PlacedSchedule: schedules.save,
    timed.RemoveSchedule: schedules.remove,
    timed.PauseSchedule: schedules.pause,
    timed.ResumeSchedule: schedules.resume,
    timed.Fire: schedules.fire,
    outgoing.Send: outbox.send,
    outgoing.TakeMessages: outbox.take,
    outgoing.StrandMessages: outbox.strand,
    outgoing.SettleMessage: outbox.settle,
    outgoing.DecideMessage: outbox.decide,
    told.Publish: topics.publish,
    told.Subscribe: topics.subscribe,
    told.Unsubscribe: topics.unsubscribe,
    told.Consume: topics.consume,
    queuing.LimitQueues: queues.limit,
}
_LEASED: Final[Mapping[type, Leased]] = {
    protocol.FixSystem: sessions.fix_system,
    protocol.RecordStep: steps.record,
    protocol.ReadWords: signals.mark_read,
    protocol.HoldPaths: holds.hold,
    protocol.AskApproval: approvals.ask,
    protocol.Reserve: ledger.reserve,
    protocol.Settle: ledger.settle,
    protocol.Park: parking.park,
    protocol.BackOff: resting.back_off,
    protocol.Finish: endings.finish,
}


def apply(tx: Transaction, change: Applicable) -> Any:
    """Carry out a change that needs no lease.

    Raises:
        BadRequest: It needs one, or holds what cannot be written down.
    """
    function = _FREE.get(type(change))
    if function is None:
        raise BadRequest(f"{type(change).__name__} belongs to a running task: commit it through its lease")
    try:
        return function(tx, change)
    except UnicodeEncodeError:
        raise BadRequest(f"{type(change).__name__}: {NO_TEXT}") from None
    except OverflowError:
        raise BadRequest(f"{type(change).__name__}: a number is too large", hint="it has 64 bits at most") from None


def apply_leased(tx: Transaction, change: Applicable, task: TaskKey) -> Any:
    """Carry out any change for the holder of a task's lease."""
    function = _LEASED.get(type(change))
    return apply(tx, change) if function is None else function(tx, change, task)
