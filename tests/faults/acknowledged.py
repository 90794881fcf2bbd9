"""What was acknowledged to the client, and where it must be found in the journal after any kill."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from faults.snapshot import END_STATES, Snapshot


def is_there(now: Snapshot, told: Sequence[str]) -> bool:
    """Whether what a line of the client tells of is in the journal. Lines that tell of no input are."""
    verb, *rest = told
    check = _CHECKS.get(verb)
    return check is None or check(now, *rest)


def _submit(now: Snapshot, key: str, task: str) -> bool:
    return task in now.tasks and now.tasks[task].key == key


def _seen(now: Snapshot, task: str, seq: str) -> bool:
    return (task, int(seq)) in now.events


def _decide(now: Snapshot, approval: str) -> bool:
    return now.approvals.get(approval) == "allow"


def _signal(now: Snapshot, task: str, topic: str) -> bool:
    return (task, topic) in now.signals


def _words(now: Snapshot, task: str, key: str, life: str) -> bool:
    return task == "None" or any(json.loads(payload)["text"] == f"word {key} {life}" for payload in now.words)


def _cancel(now: Snapshot, task: str) -> bool:
    row = now.tasks.get(task)
    return row is not None and (row.control == "cancel" or row.status in END_STATES)


def _retry(now: Snapshot, task: str, turn: str, index: str) -> bool:
    return now.steps[task, int(turn), int(index)].retries > 0


def _skip(now: Snapshot, task: str, turn: str, index: str) -> bool:
    return now.steps[task, int(turn), int(index)].status == "failed"


def _schedule(now: Snapshot, name: str) -> bool:
    return name in now.schedules


def _publish(now: Snapshot, key: str) -> bool:
    return any(f'"{key}"' in text for text in (*now.published, *now.news))


def _message(now: Snapshot, key: str) -> bool:
    return any(row.key == key for row in now.messages)


def _fork(now: Snapshot, task: str) -> bool:
    return task in now.tasks


_CHECKS: dict[str, Callable[..., bool]] = {
    "submit": _submit,
    "seen": _seen,
    "decide": _decide,
    "signal": _signal,
    "words": _words,
    "cancel": _cancel,
    "retry": _retry,
    "skip": _skip,
    "schedule": _schedule,
    "publish": _publish,
    "message": _message,
    "fork": _fork,
}
