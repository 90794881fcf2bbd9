"""One control group for all commands of a program, where the system lets us make one: it bounds their processes.

The limit per user that rlimits have does nothing for root; this one does. Versions 1 and 2. Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
GROUPS = Path("/proc/self/cgroup")
CONTROLLER = "pids"


def enter_group(processes: int) -> Path | None:
    """Make a group with at most so many processes beneath our own and move in; None where that is not allowed."""
    for parent in _parents():
        group = parent / f"autohands-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "pids.max").write_text(str(processes))
            _move(group)
            return group
        except OSError:
            group.rmdir()
    return None


def leave_group(group: Path) -> None:
    """Move back out and remove the group, unless somebody is still inside."""
    try:
        _move(group.parent)
        group.rmdir()
    except OSError:
        return


def _move(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _parents() -> list[Path]:
    """Our own group in each mounted hierarchy that can count processes."""
    try:
        mounts, groups = MOUNTS.read_text(), GROUPS.read_text()
    except OSError:
        return []
    own = {controllers: path for _, controllers, path in (line.split(":", 2) for line in groups.splitlines())}
    found = []
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        kind, _, options = kind.split(" ", 2)
        point, root = Path(place.split()[4]), place.split()[3]
        if kind == "cgroup" and CONTROLLER in options.split(","):
            found.append(_beneath(point, root, own.get(CONTROLLER, "/")))
        elif kind == "cgroup2":
            found.append(_beneath(point, root, own.get("", "/")))
    return found


def _beneath(point: Path, root: str, path: str) -> Path:
    return point / os.path.relpath(path, root)
