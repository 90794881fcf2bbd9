"""What a supervisor is made of: its clock, its line, its limits, its group."""

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autohands.sandbox import cgroup
from autohands.sandbox.clock import MOST_WAIT_SECONDS, Clock
from autohands.sandbox.keeper import signal_name
from autohands.sandbox.launch import NotLaunched, launch, wiring
from autohands.sandbox.line import Line, packed
from autohands.sandbox.profiles import confinement


def test_the_clock_gives_what_is_due_once_and_in_order() -> None:
    clock = Clock()
    assert clock.wait_seconds() == MOST_WAIT_SECONDS
    clock.set("late", 600)
    clock.set("second", -1)
    clock.set("first", -2)
    assert clock.wait_seconds() == 0
    assert clock.take_due() == ["first", "second"]
    assert clock.take_due() == []
    assert clock.waits("late")
    clock.set_first("late", 900)
    assert clock.wait_seconds() < 601
    clock.set_first("late", -1)
    assert clock.take_due() == ["late"]


def test_orders_bring_their_descriptors() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Path(__file__).open("rb") as file:
        socket.send_fds(ours, [packed({"argv": ["a\udcff"]})], [file.fileno()])
        ours.sendall(packed({"end": "cancelled"}))
        line = Line(theirs)
        received = line.receive()
        assert received is not None
        order, descriptors = received
        assert order == {"argv": ["a\udcff"]}
        assert os.path.samestat(os.fstat(descriptors[0]), os.fstat(file.fileno()))
        os.close(descriptors[0])
        assert line.receive() == ({"end": "cancelled"}, [])
        ours.close()
        assert line.receive() is None
        assert not line.send({"total": 1})


def test_news_that_are_not_urgent_never_wait() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = Line(theirs)
        while line.send({"total": 1}, urgent=False):
            pass
        assert ours.recv(1 << 20).startswith(b'{"total": 1}\n')


def test_a_launch_that_fails_says_what_is_at_fault(tmp_path: Path) -> None:
    order = {"program": "/missing", "argv": ["x"], "env": {}, "directory": str(tmp_path), "terminal": ""}
    with pytest.raises(NotLaunched) as no_program:
        launch(order, {"output": 1})
    assert (no_program.value.about, no_program.value.errno) == ("program", 2)
    with pytest.raises(NotLaunched) as no_directory:
        launch(order | {"directory": "/missing"}, {"output": 1})
    assert no_directory.value.about == "directory"


def test_wiring() -> None:
    open_null, duplicate = os.POSIX_SPAWN_OPEN, os.POSIX_SPAWN_DUP2
    assert wiring("", {"output": 7}) == [(duplicate, 7, 1), (duplicate, 1, 2), (open_null, 0, "/dev/null", 0, 0)]
    assert wiring("", {"output": 7, "input": 8})[2] == (duplicate, 8, 0)
    assert wiring("/dev/pts/1", {})[2] == (duplicate, 1, 0)
    assert wiring("/dev/pts/1", {"input": 8})[2] == (duplicate, 8, 0)


def test_limits_are_taken_on_for_good() -> None:
    code = (
        "import resource as r; from autohands.sandbox.launch import limit_self\n"
        "limit_self({'file_bytes': 2 << 20, 'open_files': 99, 'kept_bytes': 1})\n"
        "print(r.getrlimit(r.RLIMIT_FSIZE), r.getrlimit(r.RLIMIT_NOFILE))\n"
        "limit_self({'file_bytes': 0}); print(r.getrlimit(r.RLIMIT_FSIZE))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed == "(2097152, 2097152) (99, 99)\n(1048576, 1048576)\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE) != (99, 99)


def test_names_of_signals() -> None:
    assert (signal_name(15), signal_name(45)) == ("SIGTERM", "SIG45")


@pytest.mark.parametrize(
    ("mounts", "groups", "parents"),
    [
        (
            "30 25 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n31 25 0:28 / /c rw - cgroup cgroup rw,cpu\n",
            "8:pids:/a/b\n1:cpu:/x\n",
            ["/sys/fs/cgroup/pids/a/b"],
        ),
        (
            "30 25 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
            "0::/user.slice/s\n",
            ["/sys/fs/cgroup/user.slice/s"],
        ),
        ("30 25 0:27 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/docker/1/x\n", ["/sys/fs/cgroup/x"]),
        ("30 25 0:27 / / rw - ext4 /dev/vda rw\n", "0::/\n", []),
    ],
)
def test_where_a_control_group_could_be_made(mounts: str, groups: str, parents: list[str]) -> None:
    assert [str(path) for path in cgroup.parents(mounts, groups)] == parents


def test_groups_of_programs_that_are_gone_are_removed(tmp_path: Path) -> None:
    for name in (f"autohands-{os.getpid()}", f"autohands-{2**30}", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / f"autohands-{2**30 + 1}").mkdir()
    (tmp_path / f"autohands-{2**30 + 1}" / "busy").mkdir()
    cgroup.remove_abandoned(tmp_path)
    left = {f"autohands-{os.getpid()}", f"autohands-{2**30 + 1}", "other"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_the_state_of_confinement_is_told() -> None:
    assert "unconfined" in confinement()
