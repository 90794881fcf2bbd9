"""Named sets of limits, and what confines a command."""

from __future__ import annotations

from collections.abc import Mapping

from autohands.protocols.process import Limits

GIB = 1 << 30
ALL_PROCESSES = 2_048

PROFILES: Mapping[str, Limits] = {
    "exec": Limits(memory_bytes=3 * GIB, file_bytes=4 * GIB, processes=512, open_files=4_096),
    "search": Limits(memory_bytes=GIB, file_bytes=64 << 20, processes=64),
}


def confinement() -> str:
    """What keeps commands from the rest of the machine, in a line for `doctor` and `/health`."""
    return "commands run unconfined: clean environment and limits only"
