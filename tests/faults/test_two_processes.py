"""Two programs on one state file, killed at random: every task once, each session in order."""

import os
import random
import signal
from pathlib import Path

import pytest

from faults.lives import Life, Nursery, nursery
from faults.oracle import Oracle
from faults.plan import Order, Plan
from faults.sink import read_sink
from faults.snapshot import take
from faults.trials import SCRIPTS, expire_leases

pytestmark = pytest.mark.slow
SEED = 7
KILLS = 3
ORDERS = [
    Order(key=f"order{number}", session=f"session-{number % 3}", script=SCRIPTS[number % len(SCRIPTS)])
    for number in range(12)
]


def half(directory: Path, which: int) -> Plan:
    """The orders of one of the two clients."""
    return Plan(directory=str(directory), orders=tuple(ORDERS[which::2]), life=which, finish=True)


def test_cr01_two_programs_share_the_work_and_three_kills_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    chance, told = random.Random(SEED), list[list[str]]()
    with nursery() as one, nursery() as other:
        nurses: list[Nursery] = [one, other]
        lives: list[Life] = [nurse.bear(half(tmp_path, which)) for which, nurse in enumerate(nurses)]
        for _ in range(KILLS):
            which, lines = chance.randrange(2), iter(range(chance.randrange(5, 40)))
            lives[which].listen(lambda _, lines=lines: next(lines, None) is None)  # type: ignore[misc]
            lives[which].kill()
            told += lives[which].told
            lives[which] = nurses[which].bear(half(tmp_path, which))
        for life in lives:
            life.listen()
            assert life.told[-1][0] == "all", one.complaints() + other.complaints()
            told += life.told
    plan, oracle = half(tmp_path, 0), Oracle(ORDERS)
    now, sink = take(plan.database), read_sink(plan.sink)
    assert oracle.judge(now, sink, told, 0) == []
    assert oracle.conclude(now, sink) == []
    begun = [entry.key for entry in sink if entry.phase == "begin" and entry.kind not in ("hand_over", "wait_for")]
    assert len(begun) <= len(set(begun)) + KILLS * 8, "what was in flight, and no more, is done again"


def stopped(nurse: Nursery, directory: Path, order: Order) -> tuple[Plan, Life]:
    """A program that stands still between an intent and its body. One that holds the file, too, would hold up all."""
    for number in range(20):
        plan = Plan(directory=str(directory / str(number)), orders=(order,), finish=True)
        plan.workspace.mkdir(parents=True)
        life = nurse.bear(plan, "act.begun:1:hang")
        life.listen()
        assert life.stopped
        if expire_leases(plan.database):
            return plan, life
        life.kill()
    raise AssertionError("the file was held each time")


def test_cr02_a_program_that_lost_its_lease_while_it_stood_still_records_nothing_more(tmp_path: Path) -> None:
    order = Order(key="order0", session="s", script=("spend", "look"))
    with nursery() as one, nursery() as other:
        plan, zombie = stopped(one, tmp_path, order)
        life = other.bear(plan)
        life.listen()
        assert life.told[-1][0] == "all", other.complaints()
        os.kill(zombie.pid, signal.SIGCONT)
        zombie.stopped = False
        zombie.listen()
        assert zombie.told[-1][0] == "all", one.complaints()
    oracle, now, sink = Oracle([order]), take(plan.database), read_sink(plan.sink)
    assert oracle.judge(now, sink, [*zombie.told, *life.told], 0) == []
    assert oracle.conclude(now, sink) == []
    assert [row.status for row in now.steps.values() if row.name == "spend"] == ["unknown"]
    phases = [entry.phase for entry in sink if entry.kind == "spend"]
    assert phases in (["begin"], ["begin", "end"]), (
        "the one body it had announced, cut short where it hears of its loss"
    )
