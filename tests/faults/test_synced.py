"""CR09: nothing is acknowledged before it is on disk. kill -9 cannot show that; the order of system calls can."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from faults.lives import nursery
from faults.plan import Order, Plan
from faults.trace import STRACE, Call, commits, read_trace

pytestmark = [pytest.mark.slow, pytest.mark.needs("strace")]
SCRIPT = ("ask_first", "spend", "look")
# What causes it, what tells of it, and how many commits lie between them at least.
PATHS = {
    "submit": ("submitting order0", "submit order0", 1),
    "model call": ("submit order0", "model order0:1:0 begin", 1),
    "decision": ("deciding", "decide ", 1),
    "effect that was asked for": ("decide ", r"ask_first \S+:1:1 begin", 1),
    "effect": ("model order0:2:0 end", r"spend \S+:2:1 begin", 1),
    "model call after an effect": (r"spend \S+:2:1 end", "model order0:3:0 begin", 1),
    "final state": ("model order0:4:0 end", "final ", 1),
    "outgoing message": ("model order0:4:0 end", "send ", 2),  # its row, with the end, and that it is being sent
}


def traced(directory: Path, broken: str = "") -> Sequence[Call]:
    """The calls of a program that carries out one order, to its end."""
    (directory / "workspace").mkdir()
    order = Order(key="order0", session="s", script=SCRIPT, reply=True)
    with nursery(*STRACE, str(directory / "trace")) as nurse:
        life = nurse.bear(Plan(directory=str(directory), orders=(order,), finish=True, broken=broken))
        life.listen()
        assert life.told[-1] == ["all", "1"], nurse.complaints()
    return list(read_trace(directory / "trace"))


def synced(calls: Sequence[Call]) -> dict[str, bool]:
    """Which paths have their commits on disk before they tell of them."""
    return {path: commits(calls, cause, told) >= least for path, (cause, told, least) in PATHS.items()}


def test_cr09_every_acknowledgement_comes_after_the_sync_of_what_it_acknowledges(tmp_path: Path) -> None:
    assert synced(traced(tmp_path)) == dict.fromkeys(PATHS, True)


def test_cr09_a_program_that_does_not_sync_is_seen(tmp_path: Path) -> None:
    assert synced(traced(tmp_path, broken="no-sync")) == dict.fromkeys(PATHS, False)
