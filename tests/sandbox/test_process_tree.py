"""Who descends from whom, and signals that reach all of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from autohands.sandbox import tree

SCRIPT = "sleep 600 & (sleep 600 & sleep 600 & echo $$; wait) & wait"


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    parent = subprocess.Popen(["bash", "-c", SCRIPT], stdout=subprocess.PIPE, start_new_session=True)
    assert parent.stdout is not None
    parent.stdout.readline()
    yield parent
    if parent.poll() is None:
        os.killpg(parent.pid, signal.SIGKILL)
    parent.wait(timeout=10)
    parent.stdout.close()


def test_descendants_are_found_parents_first(family: subprocess.Popen[bytes]) -> None:
    found = tree.descendants(os.getpid())
    mine = found[found.index(family.pid) :]
    assert len(mine) >= 4
    assert set(tree.descendants(family.pid)) < set(mine)


def test_by_the_table_of_ps_the_same_are_found(family: subprocess.Popen[bytes]) -> None:
    listing = subprocess.check_output(["ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,command="], text=True)
    beneath = tree.kinship(listing, family.pid, group=family.pid, marker="")
    assert set(tree.descendants(family.pid)) <= set(beneath[family.pid]) | {
        pid for child in beneath[family.pid] for pid in beneath.get(child, [])
    }


def test_kinship_takes_the_group_and_the_marked() -> None:
    listing = "\n".join(
        [
            "1 0 0 kernel",
            " 10  1 10 root",
            "11 10 11 child",
            "12 1 10 of the group",
            "13 1 13 KEY=abc x",
            "14 1 14 other",
        ]
    )
    assert tree.kinship(listing, 10, group=10, marker="KEY=abc")[10] == [10, 11, 12, 13]
    assert tree.kinship(listing, 10, group=0, marker="")[10] == [11]


def test_kill_all_leaves_nobody(family: subprocess.Popen[bytes]) -> None:
    tree.kill_all(family.pid)
    family.wait(timeout=10)  # it waited for them
    assert tree.descendants(family.pid) == []


def test_nobody_descends_from_a_process_that_is_gone() -> None:
    assert tree.descendants(2**30) == []
    assert 2**30 not in tree.kinship("  1  0  0 kernel\n  2  1  0 kernel\n", 2**30, group=0, marker="")


def test_signals_to_the_gone_and_the_foreign_are_no_error() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait(timeout=10)
    tree.signal_all([ended.pid], signal.SIGTERM)


def test_memory_counts_what_is_used() -> None:
    before = tree.memory([os.getpid()])
    ballast = bytearray(os.urandom(1)) * (32 << 20)
    assert tree.memory([os.getpid()]) - before > 24 << 20
    assert tree.exact_memory([os.getpid()]) > 24 << 20
    assert len(ballast) == 32 << 20
    assert tree.memory([2**30]) == tree.exact_memory([2**30]) == 0


def test_a_process_is_told_from_a_later_one_with_its_pid() -> None:
    one = subprocess.Popen(["sleep", "600"])
    mark = tree.born(one.pid)
    assert mark
    assert tree.born(one.pid) == mark
    assert tree.born(os.getpid()) != ""
    one.kill()
    one.wait(timeout=10)
    assert tree.born(one.pid) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel counts threads on Linux")
def test_threads_of_a_user() -> None:
    assert tree.threads_of(os.getuid()) >= 1
    assert tree.threads_of(2**31 - 5) == 0
