"""Commands run under hardship: without root's powers, on a disk that is too small, under a careless umask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from walk.processes import AUTOHANDS, WAIT_SECONDS, environment

_ON_A_SMALL_DISK = 'mount -t tmpfs -o "size=$1,mode=700" tmpfs "$2" && shift 2 && exec "$@"'


@cache
def powerless() -> tuple[str, ...]:
    """What stands before a command so that permissions bind it, even where the tests run as root."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root's powers are taken away by setpriv, which is not installed")
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def small_disk(at: Path, size: str) -> tuple[str, ...]:
    """What stands before a command so that it, and nobody else, sees a new disk of `size` in the directory `at`."""
    before = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _ON_A_SMALL_DISK, "sh", size, str(at))
    if sys.platform != "linux" or subprocess.run([*before, "true"], capture_output=True, timeout=10).returncode:
        pytest.skip("a disk of one's own takes Linux with user namespaces")
    return before


def run(
    home: Path,
    *arguments: str,
    before: tuple[str, ...] = (),
    cwd: Path | None = None,
    umask: int = -1,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, with `before` in front of it and `env` in its environment."""
    return subprocess.run(
        [*before, AUTOHANDS, *arguments],
        env=environment(home) | dict(env or {}),
        cwd=cwd,
        umask=umask,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )


def said(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line of an error, after the checks that it is one line and that the exit status is `status`."""
    assert (done.returncode, done.stdout) == (status, ""), done
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("error: ").strip()
