"""The oracle: reads the sink, the journal and what the client was told after each life, and says what must not be.

It knows nothing of how the program works, only its contract: what was acknowledged is there, what is recorded is not
executed again, what cannot be repeated was not begun twice, every task is in a defined state, every event in its place.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from faults.acknowledged import is_there
from faults.cast import ONCE
from faults.plan import Order
from faults.sink import Entry
from faults.snapshot import END_STATES, STATES, Snapshot

KINDS = ("lost", "repeated", "twice", "undefined", "gap", "unshown", "order", "unfinished", "damage", "broken")
Step = tuple[str, int, int]
MODEL = "model"
WAITING = ("hand_over", "wait_for", "stumble")


class Violation(Struct, frozen=True, order=True):
    """Something that must not be: one of `KINDS`, and what it is about."""

    kind: str
    text: str


class Oracle:
    """Follows one state directory through its lives. With `forgets` the beginnings of journals may be gone."""

    def __init__(self, orders: Sequence[Order], *, forgets: bool = False) -> None:
        self._forgets = forgets
        self._orders = {order.key: order for order in orders}
        self._before = Snapshot()
        self._recorded_in: dict[Step, int] = {}
        self._told: list[list[str]] = []

    def expect(self, orders: Sequence[Order]) -> None:
        """More orders were given."""
        self._orders.update({order.key: order for order in orders})

    def judge(self, now: Snapshot, sink: Sequence[Entry], told: Sequence[list[str]], life: int) -> list[Violation]:
        """What is wrong after a life in which the client was told `told`; the sink is that of all lives."""
        self._told += told
        for step, row in now.steps.items():
            if row.status != "started":
                self._recorded_in.setdefault(step, life)
        acts = _acts(sink, now)
        found = [
            *self._lost(now),
            *self._repeated(now, acts),
            *(self._in_one_life(now, acts) if life else ()),
            *_twice(now, acts),
            *_undefined(now),
            *_gaps(now, forgets=self._forgets),
            *_unshown(now),
            *_out_of_order(now, self._delayed(now)),
            *(Violation("damage", text) for text in now.damage),
        ]
        self._before = now
        return sorted(set(found))

    def conclude(self, now: Snapshot, sink: Sequence[Entry]) -> list[Violation]:
        """What is wrong when everything should be done: each order, each of its calls, each child once."""
        acts = _acts(sink, now)
        found = {*self._unfinished(now), *_unaccounted(now, acts), *_children(now)}
        return sorted(found | {*self._undelivered(now, sink), *self._unheeded(now)})

    # --- what was acknowledged ---------------------------------------------------------------------------------------

    def _lost(self, now: Snapshot) -> Iterator[Violation]:
        for told in self._told:
            if not is_there(now, told):
                yield Violation("lost", f"{' '.join(told)} was acknowledged")
        for key, event in self._before.events.items():
            if now.events.get(key) != event:
                yield Violation("lost", f"event {key[1]} of {key[0]} was recorded")

    # --- what is recorded --------------------------------------------------------------------------------------------

    def _repeated(self, now: Snapshot, acts: dict[Step, list[Entry]]) -> Iterator[Violation]:
        for step, row in self._before.steps.items():
            may_change = row.status == "started" or (row.status == "unknown" and not row.told)  # a person decides
            if not may_change and now.steps.get(step) != row and not _retried(now, step):
                yield Violation("repeated", f"step {_name(step)} was {row.status} and is {now.steps.get(step)}")
        for step, entries in acts.items():
            life = self._recorded_in.get(step)
            late = [entry for entry in entries if life and entry.phase == "begin" and entry.life > life]
            if late and not _retried(now, step):
                yield Violation("repeated", f"step {_name(step)}, recorded in life {life}, began in {late[0].life}")

    def _in_one_life(self, now: Snapshot, acts: dict[Step, list[Entry]]) -> Iterator[Violation]:
        """Nobody died in between: bodies begin once, but for those that wait, and begin again from their top."""
        stumbled = {entry.key for entries in acts.values() for entry in entries if entry.kind == "stumble"}
        for step, entries in acts.items():
            begun = Counter(entry.life for entry in entries if entry.phase == "begin" and entry.kind not in WAITING)
            if begun and max(begun.values()) > 1 and entries[0].key not in stumbled and not _retried(now, step):
                yield Violation("repeated", f"{entries[0].kind} of {_name(step)} began {begun} times by life")

    def _unfinished(self, now: Snapshot) -> Iterator[Violation]:
        by_key = Counter(row.key for row in now.tasks.values() if row.key)
        for key in self._orders:
            if by_key[key] != 1:
                yield Violation("unfinished", f"{by_key[key]} tasks for order {key}")
        for task, row in now.tasks.items():
            order_of = self._orders.get(row.key or "")
            allowed = ("done", "cancelled") if order_of and order_of.control == "cancel" else ("done",)
            if row.status not in allowed:
                yield Violation("unfinished", f"{task} ({row.key}) is {row.status}")
            elif order_of and row.status == "done":
                yield from _missing(now, task, order_of)

    def _delayed(self, now: Snapshot) -> set[str]:
        """The tasks that were to come after others."""
        late = {key for key, order in self._orders.items() if order.control == "after"}
        return {task for task, row in now.tasks.items() if row.key in late}

    def _undelivered(self, now: Snapshot, sink: Sequence[Entry]) -> Iterator[Violation]:
        """Each answer that was to be sent is one message, delivered once: the channel can tell what it delivered."""
        delivered = Counter(entry.key for entry in sink if entry.kind == "send" and entry.phase == "end")
        made = Counter(row.task for row in now.messages)
        for row in now.messages:
            undecided = row.key.startswith("trouble") and row.state == "held" and delivered[row.key] < 2
            if (row.state, delivered[row.key]) != ("sent", 1) and not undecided:
                yield Violation("unfinished", f"message {row.key} is {row.state}, delivered {delivered[row.key]} times")
        for task, about in now.tasks.items():
            order = self._orders.get(about.key or "")
            if order and order.reply and about.status == "done" and made[task] != 1:
                yield Violation("unfinished", f"{task} has {made[task]} messages")

    def _unheeded(self, now: Snapshot) -> Iterator[Violation]:
        """Each occurrence of a schedule and each publication is one task."""
        fired = Counter(name for name, state, task in now.occurrences if state == "fired" and task in now.tasks)
        for verb, *rest in {tuple(words) for words in self._told}:
            if verb == "schedule" and fired[rest[0]] != 1:
                yield Violation("unfinished", f"schedule {rest[0]} has fired {fired[rest[0]]} times")
            elif verb == "publish" and (tasks := sum(f'"{rest[0]}"' in text for text in now.news)) != 1:
                yield Violation("unfinished", f"publication {rest[0]} has become {tasks} tasks")


def _missing(now: Snapshot, task: str, order: Order) -> Iterator[Violation]:
    for turn, calls in enumerate(order.script, 1):
        for index, name in enumerate((MODEL, *calls.split("+"))):
            row = now.steps.get((task, turn, index))
            if row is None or row.status not in ("done", "unknown", *(["failed"] if order.on_unknown == "ask" else [])):
                yield Violation("unfinished", f"{name} of {_name((task, turn, index))} is {row and row.status}")


def _acts(sink: Sequence[Entry], now: Snapshot) -> dict[Step, list[Entry]]:
    """What happened, by the step it belongs to. The model and the shell know the order's key, not the task's id."""
    ids = {row.key: task for task, row in now.tasks.items() if row.key}
    children = {f"child-{task.replace(':', '-')}": task for task in now.tasks}
    acts: dict[Step, list[Entry]] = defaultdict(list)
    for entry in sink:
        if entry.kind in ("send", "trouble"):
            continue
        task, turn, index = entry.key.rsplit(":", 2)
        acts[ids.get(task) or children.get(task, task), int(turn), int(index)].append(entry)
    return acts


def _retried(now: Snapshot, step: Step) -> bool:
    return step in now.steps and now.steps[step].retries > 0


def _name(step: Step) -> str:
    return f"{step[0]}:{step[1]}:{step[2]}"


def _twice(now: Snapshot, acts: dict[Step, list[Entry]]) -> Iterator[Violation]:
    """Bodies that must begin once, after their intent is recorded and, where a person is to be asked, allowed."""
    for step, entries in acts.items():
        begun = sum(entry.phase == "begin" and entry.kind in ONCE for entry in entries)
        if not begun:
            continue
        row = now.steps.get(step)
        if row is None:
            yield Violation("twice", f"{entries[0].kind} of {_name(step)} began before its intent was recorded")
        elif begun > 1 + row.retries:
            yield Violation("twice", f"{entries[0].kind} of {_name(step)} began {begun} times times, allowed")
        if entries[0].kind == "ask_first" and now.asked.get(step) != "allow":
            yield Violation("twice", f"{_name(step)} began though nobody allowed it: {now.asked.get(step)}")


def _undefined(now: Snapshot) -> Iterator[Violation]:
    heads = Counter(
        row.session for row in now.tasks.values() if row.status in ("ready", "running", "waiting", "paused")
    )
    finals = Counter(task for (task, _), event in now.events.items() if event.type == "run.finished")
    for task, row in now.tasks.items():
        problems = {
            "is in no state": row.status not in STATES,
            "is head beside another": heads[row.session] > 1,
            "runs for nobody": row.status == "running" and row.owner not in now.executors,
            "waits for nothing": row.status == "waiting" and not row.waits and row.run_at is None,
            "is blocked behind nothing": row.status == "blocked" and not heads[row.session],
            "is delayed for ever": row.status == "delayed" and row.run_at is None and task not in now.held_back,
            "has ended without a time, or not": (row.ended is None) == (row.status in END_STATES),
            "has told its end not once": finals[task] != (row.status in END_STATES),
        }
        yield from (Violation("undefined", f"{task} {text} ({row.status})") for text, bad in problems.items() if bad)


def _gaps(now: Snapshot, *, forgets: bool) -> Iterator[Violation]:
    numbers: dict[str, list[int]] = defaultdict(list)
    for task, seq in now.events:
        numbers[task].append(seq)
    for task in now.tasks:
        found = sorted(numbers[task])
        first = found[0] if forgets and found else 1
        if found != list(range(first, first + len(found))) or not found:
            yield Violation("gap", f"the events of {task} are numbered {found}")


def _unshown(now: Snapshot) -> Iterator[Violation]:
    """Outcomes that nobody knows are told as such."""
    shown = {
        (task, body["turn"], body["index"])
        for (task, _), event in now.events.items()
        if event.type == "tool.finished" and (body := _body(event.body))["status"] == "unknown"
    }
    for step, row in now.steps.items():
        if row.status == "unknown" and row.told and step not in shown:
            yield Violation("unshown", f"{row.name} of {_name(step)} is unknown, and no event says so")


def _body(body: bytes) -> dict[str, object]:
    """An event's own fields, as they are stored: each with a comma before it."""
    decoded: dict[str, object] = json.loads(b"{" + body.lstrip(b",") + b"}")
    return decoded


def _out_of_order(now: Snapshot, delayed: set[str]) -> Iterator[Violation]:
    """Within a session a task begins after the one before it has said its last. One that is delayed holds none back."""
    order: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for task, row in now.tasks.items():
        order[row.session].append((row.seq, task))
    ends = {task: event.at for (task, _), event in now.events.items() if event.type == "run.finished"}
    starts = {task: event.at for (task, _), event in now.events.items() if event.type == "run.started"}
    for tasks in order.values():
        line = [task for _, task in sorted(tasks) if task not in delayed]
        for earlier, later in pairwise(line):
            if later in starts and starts[later] < ends.get(earlier, starts[later] + 1):
                yield Violation("order", f"{later} began before {earlier} had ended")


def _unaccounted(now: Snapshot, acts: dict[Step, list[Entry]]) -> Iterator[Violation]:
    """Effects are done, or told to be unknown: what is recorded as done has happened, what happened is recorded."""
    for step, row in now.steps.items():
        phases = Counter(entry.phase for entry in acts.get(step, ()))
        if row.kind == "tool" and row.status == "done" and row.name in (*ONCE, "exec") and not phases["end"]:
            yield Violation("broken", f"{row.name} of {_name(step)} is done, and the world knows nothing of it")
        if row.status == "started" and now.tasks[step[0]].status == "done":
            yield Violation("unfinished", f"{row.name} of {_name(step)} has no outcome")


def _children(now: Snapshot) -> Iterator[Violation]:
    given = Counter(step[0] for step, row in now.steps.items() if row.name == "hand_over")
    made = Counter(row.parent for row in now.tasks.values() if row.parent)
    for task, row in now.tasks.items():
        if row.status == "done" and made[task] != given[task]:
            yield Violation("twice", f"{task} handed over {given[task]} times and has {made[task]} children")
