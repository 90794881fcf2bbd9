"""Which function carries out which change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from autohands.protocols import storage as protocol
from autohands.protocols.errors import BadRequest
from autohands.storage import approvals, claims, endings, ledger, parking, sessions, signals, steps, tasks
from autohands.storage.transaction import TaskKey, Transaction

Free: TypeAlias = Callable[[Transaction, Any], Any]
Leased: TypeAlias = Callable[[Transaction, Any, TaskKey], Any]
Applicable: TypeAlias = protocol.Change | tasks.Placed

_FREE: Final[Mapping[type, Free]] = {
    protocol.Enqueue: tasks.enqueue,
    tasks.Placed: tasks.enqueue,
    protocol.Speak: signals.speak,
    protocol.Cancel: endings.cancel,
    protocol.Decide: approvals.decide,
    protocol.Signal: signals.signal,
    protocol.Redo: claims.redo,
    protocol.RenameSession: sessions.rename,
    protocol.ForgetSession: sessions.forget,
}
_LEASED: Final[Mapping[type, Leased]] = {
    protocol.FixSystem: sessions.fix_system,
    protocol.RecordStep: steps.record,
    protocol.ReadWords: signals.mark_read,
    protocol.AskApproval: approvals.ask,
    protocol.Reserve: ledger.reserve,
    protocol.Settle: ledger.settle,
    protocol.Park: parking.park,
    protocol.Finish: endings.finish,
}


def apply(tx: Transaction, change: Applicable) -> Any:
    """Carry out a change that needs no lease.

    Raises:
        BadRequest: It needs one.
    """
    function = _FREE.get(type(change))
    if function is None:
        raise BadRequest(f"{type(change).__name__} belongs to a running task: commit it through its lease")
    return function(tx, change)


def apply_leased(tx: Transaction, change: Applicable, task: TaskKey) -> Any:
    """Carry out any change for the holder of a task's lease."""
    function = _LEASED.get(type(change))
    return apply(tx, change) if function is None else function(tx, change, task)
