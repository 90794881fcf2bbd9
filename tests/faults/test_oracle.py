"""The oracle bites: a sound journal passes, and each way of doctoring it, or the sink, or what was told, is named."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from faults.oracle import KINDS, Oracle, Violation
from faults.plan import Order
from faults.sink import Entry
from faults.snapshot import EventRow, Snapshot, StepRow, TaskRow

ORDER = Order(key="order0", session="s", script=("look+spend",))
TOLD = [
    ["submit", "order0", "t1"],
    ["seen", "t1", "3"],
    ["decide", "a1"],
    ["signal", "t1", "go"],
    ["words", "t1", "order0", "1"],
]


class Case:
    """What one life has left: a task with a read and an effect, done, and a child that is."""

    def __init__(self) -> None:
        self.now = Snapshot(
            tasks={
                "t1": TaskRow(1, "t1", "order0", "s1", "done", None, None, None, None, 9, None),
                "t2": TaskRow(2, "t2", None, "s1", "done", None, None, None, None, 9, "t1"),
            },
            steps={
                ("t1", 0, 0): StepRow("opening", "opening", "done", True, 0, 1),
                ("t1", 1, 0): StepRow("model", "m", "done", True, 0, 1),
                ("t1", 1, 1): StepRow("tool", "look", "done", True, 0, 2),
                ("t1", 1, 2): StepRow("tool", "spend", "done", False, 0, 3),
                ("t1", 1, 3): StepRow("tool", "hand_over", "done", True, 0, 3),
                ("t1", 2, 0): StepRow("model", "m", "done", True, 0, 4),
            },
            events={
                ("t1", 1): EventRow("run.started", 1, None, None, b""),
                ("t1", 2): EventRow("tool.finished", 2, None, None, b',"turn":1,"index":2,"status":"done"'),
                ("t1", 3): EventRow("run.finished", 3, None, None, b""),
                ("t2", 1): EventRow("run.started", 4, None, None, b""),
                ("t2", 2): EventRow("run.finished", 5, None, None, b""),
            },
            approvals={"a1": "allow"},
            signals={("t1", "go"), ("t1", "words")},
            words=['{"text":"word order0 1"}'],
        )
        self.sink = [
            Entry("model", "order0:1:0", "begin", 1),
            Entry("look", "t1:1:1", "begin", 1),
            Entry("spend", "t1:1:2", "begin", 1),
            Entry("spend", "t1:1:2", "end", 1),
        ]
        self.told = list(TOLD)
        self.later = list[Entry]()

    def task(self, **fields: Any) -> None:
        """Doctor the first task."""
        self.now.tasks["t1"] = replace(self.now.tasks["t1"], **fields)

    def step(self, index: int, **fields: Any) -> None:
        """Doctor a call of the first turn."""
        self.now.steps["t1", 1, index] = replace(self.now.steps["t1", 1, index], **fields)

    def found(self) -> list[Violation]:
        """What the oracle says, after this life and after one more in which only the sink has grown."""
        oracle = Oracle([ORDER])
        sound = Case()
        if self.later:
            assert oracle.judge(sound.now, sound.sink, TOLD, 1) == []
        found = oracle.judge(self.now, [*self.sink, *self.later], self.told, 2 if self.later else 1)
        return found + oracle.conclude(self.now, self.sink)


def _lose_task(case: Case) -> None:
    case.told.append(["submit", "order1", "t9"])


def _lose_event(case: Case) -> None:
    case.told.append(["seen", "t1", "4"])


def _lose_decision(case: Case) -> None:
    case.now.approvals["a1"] = "pending"


def _lose_signal(case: Case) -> None:
    case.now.signals.remove(("t1", "go"))


def _lose_words(case: Case) -> None:
    case.now.words.clear()


def _lose_cancellation(case: Case) -> None:
    case.told.append(["cancel", "t9"])


def _run_a_recorded_read_again(case: Case) -> None:
    case.later = [Entry("look", "t1:1:1", "begin", 2)]


def _ask_a_recorded_question_again(case: Case) -> None:
    case.later = [Entry("model", "order0:2:0", "begin", 2)]


def _run_a_read_twice(case: Case) -> None:
    case.sink.append(Entry("look", "t1:1:1", "begin", 1))


def _change_a_recorded_step(case: Case) -> None:
    case.later = [Entry("look", "t2:1:1", "begin", 2)]
    case.step(1, output=99)


def _begin_an_effect_twice(case: Case) -> None:
    case.sink.append(Entry("spend", "t1:1:2", "begin", 1))


def _begin_without_intent(case: Case) -> None:
    del case.now.steps["t1", 1, 2]


def _begin_without_consent(case: Case) -> None:
    case.sink.append(Entry("ask_first", "t1:1:3", "begin", 1))


def _two_children(case: Case) -> None:
    case.now.steps["t1", 1, 4] = case.now.steps["t1", 1, 3]


def _no_state(case: Case) -> None:
    case.task(status="lost")


def _two_heads(case: Case) -> None:
    for task in ("t1", "t2"):
        case.now.tasks[task] = replace(case.now.tasks[task], status="ready", ended=None)


def _runs_for_nobody(case: Case) -> None:
    case.task(status="running", owner="exe_9", ended=None)


def _waits_for_nothing(case: Case) -> None:
    case.task(status="waiting", ended=None)


def _blocked_behind_nothing(case: Case) -> None:
    case.task(status="blocked", ended=None)


def _ends_twice(case: Case) -> None:
    case.now.events["t1", 4] = case.now.events["t1", 3]


def _event_missing(case: Case) -> None:
    del case.now.events["t1", 2]


def _unknown_not_told(case: Case) -> None:
    case.step(2, status="unknown")


def _overtakes(case: Case) -> None:
    case.now.events["t2", 1] = EventRow("run.started", 2, None, None, b"")


def _not_done(case: Case) -> None:
    case.task(status="failed")


def _call_missing(case: Case) -> None:
    del case.now.steps["t1", 1, 1]


def _done_in_the_journal_only(case: Case) -> None:
    case.sink = case.sink[:2]


def _damaged(case: Case) -> None:
    case.now.damage.append("row 7 missing from index")


DOCTORED: dict[str, tuple[Callable[[Case], None], ...]] = {
    "lost": (_lose_task, _lose_event, _lose_decision, _lose_signal, _lose_words, _lose_cancellation),
    "repeated": (
        _run_a_recorded_read_again,
        _ask_a_recorded_question_again,
        _run_a_read_twice,
        _change_a_recorded_step,
    ),
    "twice": (_begin_an_effect_twice, _begin_without_intent, _begin_without_consent, _two_children),
    "undefined": (_no_state, _two_heads, _runs_for_nobody, _waits_for_nothing, _blocked_behind_nothing, _ends_twice),
    "gap": (_event_missing,),
    "unshown": (_unknown_not_told,),
    "order": (_overtakes,),
    "unfinished": (_not_done, _call_missing),
    "broken": (_done_in_the_journal_only,),
    "damage": (_damaged,),
}


def test_what_is_sound_passes() -> None:
    assert Case().found() == []


@pytest.mark.parametrize(
    ("kind", "doctor"),
    [pytest.param(kind, each, id=each.__name__.strip("_")) for kind, many in DOCTORED.items() for each in many],
)
def test_cr01_what_is_not_is_named(kind: str, doctor: Callable[[Case], None]) -> None:
    case = Case()
    doctor(case)
    assert kind in {violation.kind for violation in case.found()}


def test_every_kind_of_violation_has_a_case() -> None:
    assert set(DOCTORED) == set(KINDS)
