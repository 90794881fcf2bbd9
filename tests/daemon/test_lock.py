"""CR06: the lock of a state directory, between real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autohands.daemon.lock import held, holder
from autohands.protocols.errors import ConfigError, Conflict

HOLD = "import sys, pathlib; from autohands.daemon.lock import held\nwith held(pathlib.Path(sys.argv[1])):\n print(1, flush=True); sys.stdin.read()"  # noqa: E501


def test_cr06_a_second_one_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "run" / "serve.lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout
    assert other.stdin
    try:
        assert other.stdout.readline()
        found = holder(path)
        assert found
        assert found.pid == other.pid
        with (
            pytest.raises(Conflict, match=f"process {other.pid} serves {tmp_path / 'home'} already") as refused,
            held(path),
        ):
            pass
        assert f"kill {other.pid}" in str(refused.value.hint)
    finally:
        other.kill()
        other.wait()
        other.stdin.close()
        other.stdout.close()
    assert path.read_text()  # it says still who held it
    assert holder(path) is None
    with held(path):
        mine = holder(path)
        assert mine
        assert mine.pid == os.getpid()
    assert holder(path) is None


def test_cr06_a_stale_file_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "serve.lock"
    for content in (b"", b"4711", b"\xff\xfe", b'{"pid": 1, "host": "x", "since": 1}'):
        path.write_bytes(content)
        assert holder(path) is None
        with held(path):
            assert holder(path)


def test_who_only_asks_keeps_nobody_out(tmp_path: Path) -> None:
    """`holder` takes a shared lock for an instant."""
    import fcntl
    import threading

    path = tmp_path / "serve.lock"
    path.touch()
    with path.open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        timer = threading.Timer(0.03, lambda: fcntl.flock(asking, fcntl.LOCK_UN))
        timer.start()
        with held(path):
            pass
        timer.join()


def test_cr06_where_nothing_can_be_locked_that_is_said(tmp_path: Path) -> None:
    from autohands.daemon.lock import _take

    reading, writing = os.pipe()
    os.close(writing)
    os.close(reading)
    with pytest.raises(ConfigError, match="cannot be locked: Bad file descriptor; keep the state directory on a local"):
        _take(reading, tmp_path)
