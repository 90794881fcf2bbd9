"""One control group for all commands of a program, where the system lets us make one: it bounds their processes.

The limit per user that rlimits have does nothing for root; this one does. Versions 1 and 2. Standard library only.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CONTROLLER = "pids"
PREFIX = "autohands-"


def enter_group(processes: int) -> Path | None:
    """Make a group with at most so many processes beneath our own and move in; None where that is not allowed."""
    for parent in parents(_read("/proc/self/mountinfo"), _read("/proc/self/cgroup")):
        group = parent / f"{PREFIX}{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "pids.max").write_text(str(processes))
            _move(group)
        except OSError:
            group.rmdir()
        else:
            remove_abandoned(parent)
            return group
    return None


def leave_group(group: Path) -> None:
    """Move back out and remove the group, unless somebody is still inside."""
    with suppress(OSError):
        _move(group.parent)
        group.rmdir()


def remove_abandoned(parent: Path) -> None:
    """Remove the groups of programs that were killed; one that still holds processes cannot be removed."""
    for group in parent.glob(f"{PREFIX}*"):
        if not Path("/proc", group.name.removeprefix(PREFIX)).exists():
            with suppress(OSError):
                group.rmdir()


def _move(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def parents(mounts: str, groups: str) -> list[Path]:
    """Our own group in each mounted hierarchy that can count processes, from the kernel's `mountinfo` and `cgroup`."""
    own = {controllers: path for _, controllers, path in (line.split(":", 2) for line in groups.splitlines())}
    found = []
    for line in mounts.splitlines():
        place, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, point = place.split()[3:5]
        if kind == "cgroup2" or (kind == "cgroup" and CONTROLLER in options.split(",")):
            path = own.get("" if kind == "cgroup2" else CONTROLLER, "/")
            found.append(Path(point, os.path.relpath(path, root)))
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
