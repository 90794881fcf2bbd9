"""Workspaces for the tests: opened and closed, on the kernel's way in, on the portable one, or on none that guards."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from autohands.core.openat2 import Opener, kernel_beneath, walk_beneath
from autohands.core.workspace import LocalWorkspace

LINUX = sys.platform == "linux"
WAYS = [pytest.param(walk_beneath, id="step by step")]
if LINUX:
    WAYS.append(pytest.param(kernel_beneath, id="openat2"))


def unguarded(root: int) -> Opener:
    """The naive way in, for the negative twins: wherever the path leads."""
    return lambda path, flags, _: os.open(path, flags, dir_fd=root)


@asynccontextmanager
async def opened(
    root: Path, beneath: Callable[[int], Opener] | None = None, *, allow_hard_links: bool = False
) -> AsyncIterator[LocalWorkspace]:
    """A workspace with threads of its own."""
    with ThreadPoolExecutor(4) as threads:
        how = {"beneath": beneath} if beneath else {}
        workspace = LocalWorkspace(str(root), threads, allow_hard_links=allow_hard_links, **how)
        try:
            yield workspace
        finally:
            workspace.close()


@contextmanager
def small_disk(at: Path, options: str) -> Iterator[Path]:
    """A tmpfs with these mount options; skips where this user may not mount."""
    at.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)]
    if not LINUX or os.geteuid() != 0 or subprocess.run(command, capture_output=True, timeout=10).returncode:
        pytest.skip("mounting a small disk takes root on Linux")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True, timeout=10)


# The most memory a script ever had, in MiB. On Linux not by getrusage, which remembers the process that started it.
PEAK_MIB = """
import re, resource, sys
def peak_mib():
    if sys.platform == "linux":
        return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20
"""


def run_script(script: str, *arguments: object, timeout_seconds: float = 50) -> str:
    """What a Python script prints, run in a process of its own; its failure is the test's."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds)
    assert done.returncode == 0, done.stderr
    return done.stdout
