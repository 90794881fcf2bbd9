"""What lies in a workspace and looks like configuration: it is never read as such, and its owner is told."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_FILES = ("autohands.toml", ".autohands.toml")
_DIRECTORY = ".autohands"
_MOST_BYTES = 64 << 10


def ignored_in(workspace: Path, home: Path) -> list[str]:
    """One line on each such file in `workspace`, with the keys it would set; the state directory itself is none."""
    return [
        f"{path} is ignored{_keys(path)}: files of a workspace configure nothing; what you want of it belongs in "
        f"{home / 'config.toml'}"
        for path in _candidates(workspace, home)
    ]


def _candidates(workspace: Path, home: Path) -> Iterator[Path]:
    for name in _FILES:
        if os.path.lexists(workspace / name):
            yield workspace / name
    directory = workspace / _DIRECTORY
    if not os.path.isdir(directory) or (home.exists() and directory.samefile(home)):  # noqa: PTH112  never raises
        return
    try:
        yield from sorted(directory.iterdir())
    except OSError:
        yield directory


def _keys(path: Path) -> str:
    """Which keys a TOML file sets, if that can be told from a bounded look at a regular file."""
    import tomllib

    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            table = tomllib.loads(file.read(_MOST_BYTES).decode())
    except (OSError, ValueError, RecursionError):
        return ""
    names = ", ".join(repr(key) for key in list(table)[:10])
    return f" with its {names}" if names else ""
