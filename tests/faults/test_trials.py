"""CR01 in short: a few kills at random instants and at every named point; `make faults` has the long form."""

import random

import pytest

from faults.lives import nursery
from faults.oracle import Violation
from faults.plan import Order
from faults.points import names
from faults.trials import Workload, is_rare, named_kills, random_kills

pytestmark = pytest.mark.slow
SEED = 20261122
KILLS = 8


def wrong(workload: Workload) -> list[tuple[int, str, Violation]]:
    """What was wrong, with what it takes to see it again."""
    found = [(trial.seed, trial.place, each) for trial in workload.trials for each in trial.violations]
    workload.close()
    return found


def test_cr01_random_kills_lose_nothing_and_repeat_nothing() -> None:
    with nursery() as nurse:
        workloads = list(random_kills(nurse, SEED, KILLS))
    assert [each for workload in workloads for each in wrong(workload)] == []
    assert sum(trial.reached for workload in workloads for trial in workload.trials) == KILLS


def test_cr01_named_kills_lose_nothing_and_repeat_nothing() -> None:
    usual = [name for name in names() if not is_rare(name)]
    some = [*filter(is_rare, names()), *random.Random(SEED).sample(usual, KILLS)]
    with nursery() as nurse:
        workloads = list(named_kills(nurse, SEED, some, most=1))
    assert [each for workload in workloads for each in wrong(workload)] == []
    assert [trial.place for workload in workloads for trial in workload.trials if not trial.reached] == []


def test_cr01_every_other_failpoint_is_passed_by_the_work_that_is_killed() -> None:
    with nursery() as nurse:
        workload = Workload(nurse, SEED)
        for _ in range(2):
            workload.order_all()
            workload.kill_at("*", action="tell")
        workload.order_all()
        workload.kill_at("act.carried_out", 5)
        workload.kill_at("*", action="tell", chore="back_up")
        passed = nurse.passed()
    assert wrong(workload) == []
    assert [name for name in names() if name not in passed and not is_rare(name)] == []


def test_cr02_an_effect_killed_in_its_body_is_unknown_and_one_killed_after_it_may_be_settled() -> None:
    with nursery() as nurse:
        workload = Workload(nurse, SEED, errands=False)
        workload.add(Order(key="order0", session="s", script=("look+spend", "put")))
        assert workload.kill_at("act.carried_out", 2)
        workload.finish()
        workload.add(Order(key="order1", session="s", script=("can_tell",)))
        assert workload.kill_at("act.carried_out")
        workload.finish()
    rows = {row.name: row for row in workload.last.steps.values() if row.kind == "tool"}
    assert wrong(workload) == []
    assert rows["spend"].status == "unknown"
    assert rows["can_tell"].status == "done"


@pytest.mark.parametrize(
    ("broken", "failpoint", "kind"),
    [("early-ack", "queue.submit", "lost"), ("mislabelled", "act.carried_out", "twice")],
)
def test_cr01_a_program_that_is_broken_is_seen(broken: str, failpoint: str, kind: str) -> None:
    with nursery() as nurse:
        workload = Workload(nurse, SEED, broken=broken, errands=False)
        workload.add(Order(key="order0", session="s", script=("spend",)))
        workload.kill_at(failpoint)
        workload.finish()
    workload.close(keep=False)
    assert kind in {violation.kind for trial in workload.trials for violation in trial.violations}
