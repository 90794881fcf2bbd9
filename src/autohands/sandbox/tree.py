"""The processes that descend from a supervisor: who they are, what memory they hold, how to signal them all.

Standard library only: supervisors load nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

LINUX = sys.platform == "linux"
PAGE = os.sysconf("SC_PAGE_SIZE")
PASSES = 8
PS_SECONDS = 5

Children: TypeAlias = Callable[[int], Iterable[int]]


def descendants(root: int, group: int = 0, marker: str = "") -> list[int]:
    """Every process beneath `root`, parents first.

    Linux gives orphans to `root` (a subreaper), so descent is exact. Elsewhere the members of the process group `group`
    and those with `marker` in their environment are taken as well.
    """
    beneath = children if Path("/proc/thread-self/children").exists() else _by_table(root, group, marker)
    found = [root]
    seen = {root}
    for pid in found:
        fresh = [child for child in beneath(pid) if child not in seen]
        found.extend(fresh)
        seen.update(fresh)
    return found[1:]


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each, whether it still exists or not, and whether it is ours or not."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def kill_all(root: int, group: int = 0, marker: str = "") -> None:
    """SIGKILL everything beneath `root`: first stop all, until nobody is left who could start another."""
    stopped: set[int] = set()
    for _ in range(PASSES):
        fresh = set(descendants(root, group, marker)) - stopped
        if not fresh:
            break
        signal_all(fresh, signal.SIGSTOP)
        stopped |= fresh
    signal_all(stopped, signal.SIGKILL)


def memory(pids: Iterable[int]) -> int:
    """Bytes of anonymous memory of these processes; what they share since a fork counts for each (Linux only)."""
    return sum(_private_pages(pid) for pid in pids) * PAGE if LINUX else 0


def exact_memory(pids: Iterable[int]) -> int:
    """The same, with shared pages counted once: dear, so for when `memory` is over a limit."""
    return sum(_shares_of_kib(pid) for pid in pids) * 1024


def born(pid: int) -> str:
    """What tells a living process from a later one with the same pid; '' if there is none."""
    if not LINUX:
        return _ps("-o", "lstart=", "-p", str(pid)).strip()
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return "" if not fields or fields[0] in "ZX" else fields[19]


def threads_of(user: int) -> int:
    """How many threads a user runs, which is what the kernel counts against his limit of processes."""
    mine = (
        [entry.name for entry in os.scandir("/proc") if entry.name.isdigit() and _owner(entry) == user] if LINUX else []
    )
    return sum(len(_names(f"/proc/{pid}/task")) for pid in mine)


def _owner(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_uid
    except (FileNotFoundError, ProcessLookupError):
        return -1


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)  # noqa: PTH208  names, fast: this is read in a loop
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(pid: int) -> list[int]:
    """The direct children of a process (Linux only)."""
    return [
        int(child)
        for thread in _names(f"/proc/{pid}/task")
        for child in _read(f"/proc/{pid}/task/{thread}/children").split()
    ]


def _private_pages(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) - int(fields[2]) if fields else 0


def _shares_of_kib(pid: int) -> int:
    lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


def _by_table(root: int, group: int, marker: str) -> Children:
    listing = _ps("-A", "-ww", *(["-E"] if marker else []), "-o", "pid=,ppid=,pgid=,command=")
    beneath = kinship(listing, root, group=group, marker=marker)
    return lambda pid: beneath.get(pid, [])


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def kinship(listing: str, root: int, *, group: int, marker: str) -> dict[int, list[int]]:
    """The children of each process by a listing of `pid ppid pgid command`; group and marked count as root's."""
    beneath: dict[int, list[int]] = {}
    for line in listing.splitlines():
        pid, parent, leader, *command = line.split(maxsplit=3)
        if (group and int(leader) == group) or (marker and marker in "".join(command)):
            beneath.setdefault(root, []).append(int(pid))
        else:
            beneath.setdefault(int(parent), []).append(int(pid))
    return beneath


def _ps(*arguments: str) -> str:
    import subprocess

    return subprocess.run(["ps", *arguments], capture_output=True, text=True, timeout=PS_SECONDS, check=False).stdout
